"""The probe runs on every Python that an environment may hold, with the standard library alone."""

from __future__ import annotations

import ast
import glob
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.waiting import HANG_SECONDS

from timeproof.testing import probe_folder, probing
from timeproof_probe import wire

pytestmark = pytest.mark.slow

MINORS = range(6, 14)
FRAMEWORKS = ("lightgbm", "xgboost", "pytorch", "onnx")


# The loaders whose runtime is NumPy itself; each imports it when it is asked, in files of its own.
BY_NUMPY = {"pmml", "pfa"}


def files() -> list[Path]:
    return sorted(probe_folder.shared().rglob("*.py"))


def asked_later(path: Path) -> bool:
    """Whether a file is one that its `load.py` imports only when it is asked."""
    return path.parent.name in BY_NUMPY and path.name != "load.py"


def interpreter(minor: int) -> str:
    """Find Python 3.`minor`, on the PATH or among pyenv's, or skip."""
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    candidates = [
        shutil.which(f"python3.{minor}"),
        *sorted(glob.glob(f"{root}/versions/3.{minor}.*/bin/python")),
    ]
    if sys.version_info[:2] == (3, minor):
        candidates.insert(0, sys.executable)
    for candidate in filter(None, candidates):
        version = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, check=False
        )
        if version.stdout.strip() == str(minor).encode():
            return candidate
    return pytest.skip(f"Python 3.{minor} is not installed on this machine")


def run_bare(python: str, frameworks: tuple[str, ...], folder: Path, probe: Path) -> probing.Replay:
    """Run a job of one artifact a framework, in an interpreter without site-packages (-S)."""
    (folder / "model.txt").write_text("tree")
    probing.write_inputs(folder, [np.zeros((1, 1))])
    artifacts = [probing.artifact(folder, name, "model.txt", name=name) for name in frameworks]
    job = folder / "job.json"
    job.write_text(json.dumps({"contract": 1, "threads": 1, "artifacts": artifacts}))
    program, *words = probe_folder.command(str(job), python=python, probe=probe)
    process = subprocess.run(
        [program, "-S", *words],
        capture_output=True,
        env=probe_folder.environment(),
        timeout=HANG_SECONDS,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return probing.read(process.stdout, probing.Replay(0, ""))


@pytest.mark.parametrize("minor", MINORS)
def test_every_file_compiles(minor: int) -> None:
    script = "import sys\nfor p in sys.argv[1:]: compile(open(p, encoding='utf-8').read(), p, 'exec')"
    process = subprocess.run(
        [interpreter(minor), "-c", script, *map(str, files())], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("minor", MINORS)
def test_a_job_runs_to_its_end_without_any_framework(minor: int, tmp_path: Path) -> None:
    replay = run_bare(interpreter(minor), FRAMEWORKS, tmp_path, probe_folder.shared())
    assert replay.hello["python"].startswith(f"3.{minor}.")
    assert replay.hello["machine"]["arch"] == os.uname().machine
    assert replay.hello["machine"]["flags"]
    assert [replay.status(name) for name in FRAMEWORKS] == ["refused"] * 4
    for name in FRAMEWORKS:
        assert "ModuleNotFoundError" in replay.results[name]["reason"]


@pytest.mark.parametrize("minor", MINORS)
def test_a_framework_without_a_loader_is_refused_in_words_and_the_others_are_asked(
    minor: int, tmp_path: Path
) -> None:
    probe = probe_folder.write(tmp_path / "probe")
    shutil.rmtree(probe / "timeproof_probe/loaders/lightgbm")
    replay = run_bare(interpreter(minor), ("lightgbm", "a_plugin_s", "onnx"), tmp_path, probe)
    for name in ("lightgbm", "a_plugin_s"):
        assert replay.status(name) == "refused"
        assert f"{wire.NO_LOADER} {name!r}" in replay.results[name]["reason"]
        assert replay.results[name]["versions"] == {}
    assert "ModuleNotFoundError" in replay.results["onnx"]["reason"]


@pytest.mark.parametrize("minor", MINORS)
def test_any_framework_whose_loader_lies_there_is_asked(minor: int, tmp_path: Path) -> None:
    probe = probe_folder.write(tmp_path / "probe")
    folder = probe / "timeproof_probe/loaders/my_trees2"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "words.py").write_text("SENTENCE = 'there is nothing to ask here'\n")
    (folder / "load.py").write_text(
        "from timeproof_probe.file_checks import Refused\nfrom . import words\nMODULES = ()\n"
        "def warm(): raise Refused(words.SENTENCE)\n"
    )
    replay = run_bare(interpreter(minor), ("my_trees2",), tmp_path, probe)
    assert replay.results["my_trees2"]["reason"] == "import: there is nothing to ask here"


def test_nothing_but_the_standard_library_is_imported_at_the_top() -> None:
    for path in files():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                allowed = {"timeproof_probe", *(["numpy"] if asked_later(path) else [])}
                assert top in sys.stdlib_module_names | allowed, f"{path} imports {name}"


def test_every_module_imports_where_there_is_no_toolkit_and_no_library() -> None:
    bare = [path for path in files() if not asked_later(path)]
    script = (
        "import sys, importlib, pathlib\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "sys.path.insert(0, str(root))\n"
        "for block in ('numpy', 'torch', 'timeproof'): sys.modules[block] = None\n"
        "for path in map(pathlib.Path, sys.argv[2:]):\n"
        "    name = '.'.join(path.relative_to(root).with_suffix('').parts)\n"
        "    if name != '__main__': importlib.import_module(name)\n"
        "    print(name)\n"
    )
    process = subprocess.run(
        [sys.executable, "-S", "-B", "-c", script, str(probe_folder.shared()), *map(str, bare)],
        capture_output=True,
        text=True,
        env=probe_folder.environment(),
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert len(process.stdout.split()) == len(bare)


@pytest.mark.parametrize(
    "module",
    [
        "timeproof_probe.wire",
        "timeproof_probe.output_names",
        "timeproof_probe.arrays",
        "timeproof.frameworks.onnx.probe.onnxfile",
        "timeproof.frameworks.onnx.probe.graph_outputs",
        "timeproof.frameworks.pytorch.probe.tensors",
    ],
)
def test_what_the_host_takes_from_the_probe_loads_no_framework(module: str) -> None:
    script = f"import sys, {module}\nassert not {{'torch', 'onnx', 'onnxruntime'}} & set(sys.modules)"
    process = subprocess.run(
        [sys.executable, "-B", "-c", script], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
