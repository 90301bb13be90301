"""The fast path: an environment that has not changed is not captured again."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.environment_making import run

from timeproof.environments.capture.flow import fingerprint, known_capture, remember_capture
from timeproof.environments.interpreter.inspection import ask, inspect

pytestmark = pytest.mark.slow

Venv = Callable[..., Path]


def site(python: Path) -> Path:
    return inspect(python).folders[0]


def test_a_fingerprint_changes_with_any_file_and_only_then(venv: Venv) -> None:
    python = venv("six", "packaging")
    first = fingerprint(python)
    run(python, "-m", "compileall", "-q", site(python))
    assert fingerprint(python) == first, "a __pycache__ is no change"
    path = site(python) / "six.py"
    status = path.stat()
    path.write_bytes(path.read_bytes() + b"#")
    second = fingerprint(python)
    assert second != first
    path.write_bytes(path.read_bytes()[:-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(python) == first
    extra = site(python) / "packaging" / "new_module.py"
    extra.write_text("")
    assert fingerprint(python) != first
    extra.unlink()
    assert fingerprint(python) == first
    (site(python) / "new_module.py").write_text("")
    assert fingerprint(python) != first


def test_our_own_fingerprint_is_the_one_a_child_gives() -> None:
    here = Path(sys.executable)
    assert fingerprint(here) == ask(here, "fingerprint")["fingerprint"]


def test_a_capture_is_remembered_for_its_name_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fp, lock = "a" * 64, "b" * 64
    assert known_capture(fp, "x") is None
    remember_capture(fp, "x", lock)
    assert known_capture(fp, "x") == lock
    assert known_capture(fp, "y") is None
    assert known_capture(fp, "x", ["six"]) is None
    assert known_capture("c" * 64, "x") is None
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_text(json.dumps({"lock": "not a digest"}))
    assert known_capture(fp, "x") is None
