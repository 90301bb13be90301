"""The probe runs on every Python that an environment may hold, with the standard library alone."""

from __future__ import annotations

import ast
import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import probing

MINORS = range(6, 14)
FILES = sorted(probing.PROBE.glob("*.py"))


def interpreter(minor: int) -> str:
    """Find Python 3.`minor`, on the PATH or among pyenv's, or skip."""
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found = [shutil.which(f"python3.{minor}"), *sorted(glob.glob(f"{root}/versions/3.{minor}.*/bin/python"))]
    if sys.version_info[:2] == (3, minor):
        found.insert(0, sys.executable)
    for candidate in filter(None, found):
        asked = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, check=False
        )
        if asked.stdout.strip() == str(minor).encode():
            return candidate
    return pytest.skip(f"Python 3.{minor} is not installed on this machine")


@pytest.mark.parametrize("minor", MINORS)
def test_every_file_compiles(minor: int, tmp_path: Path) -> None:
    script = "import sys\nfor p in sys.argv[1:]: compile(open(p, encoding='utf-8').read(), p, 'exec')"
    ended = subprocess.run(
        [interpreter(minor), "-c", script, *map(str, FILES)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("minor", MINORS)
def test_a_job_runs_to_its_end_without_any_framework(minor: int, tmp_path: Path) -> None:
    python = interpreter(minor)
    (tmp_path / "model.txt").write_text("tree")
    probing.write_inputs(tmp_path, [np.zeros((1, 1))])
    # -S, and so no site-packages: what this interpreter has installed is of no concern here.
    told = [
        probing.artifact(tmp_path, framework, "model.txt", name=framework)
        for framework in ("lightgbm", "xgboost", "pytorch", "onnx")
    ]
    import json

    (tmp_path / "job.json").write_text(json.dumps({"contract": 1, "threads": 1, "artifacts": told}))
    ended = subprocess.run(
        [python, "-I", "-B", "-S", str(probing.PROBE), str(tmp_path / "job.json")],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    replay = probing.read(ended.stdout, probing.Replay(0, ""))
    assert replay.hello["python"].startswith(f"3.{minor}.")
    assert replay.hello["machine"]["arch"] == os.uname().machine
    assert replay.hello["machine"]["flags"]
    assert [replay.status(item["id"]) for item in told] == ["refused"] * 4
    for item in told:
        assert "ModuleNotFoundError" in replay.results[item["id"]]["reason"]


def test_nothing_but_the_standard_library_is_imported_at_the_top() -> None:
    own = {path.stem for path in FILES}
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            blocks = (
                node.orelse
                if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
                else [node]
            )
            for statement in blocks:
                names = (
                    [alias.name for alias in statement.names]
                    if isinstance(statement, ast.Import)
                    else [statement.module or ""]
                    if isinstance(statement, ast.ImportFrom)
                    else []
                )
                for name in names:
                    top = name.partition(".")[0]
                    assert top in sys.stdlib_module_names or name in own, f"{path.name} imports {name}"


def test_the_host_is_never_imported() -> None:
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(probing.PROBE)!r})\n"
        "import importlib, pathlib\n"
        "for block in ('numpy', 'torch', 'timeproof'): sys.modules[block] = None\n"
        f"for path in sorted(pathlib.Path({str(probing.PROBE)!r}).glob('*.py')):\n"
        "    if path.stem not in ('__init__', '__main__'): importlib.import_module(path.stem)\n"
        "print(sorted(n for n, m in sys.modules.items() if m and n.startswith('timeproof')))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-S", "-B", "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["wire", "naming", "onnxfile", "tensors"])
def test_what_the_host_takes_from_the_probe_needs_no_sibling(module: str) -> None:
    script = f"import sys; sys.modules['numpy'] = None\nimport timeproof.probe.{module}"
    ended = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
