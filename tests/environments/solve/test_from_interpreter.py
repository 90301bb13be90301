"""An environment.yml whose python is an interpreter of this machine: what it may ask of conda."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from timeproof.environments.solve.from_interpreter import lock_from_interpreter
from timeproof.errors import LockFailed, NotFound
from timeproof.store.packages import PackageStore

pytestmark = pytest.mark.slow

MINOR = ".".join(map(str, sys.version_info[:2]))


def refusal(folder: Path, dependencies: str) -> str:
    path = folder / "environment.yml"
    path.write_text(f"dependencies: {dependencies}\n")
    with pytest.raises(LockFailed) as caught:
        lock_from_interpreter(path, Path(sys.executable), PackageStore(folder / "packages"))
    assert not (folder / "packages").exists(), "nothing was packed"
    return caught.value.message


@pytest.mark.parametrize("spec", ["numpy", "numpy>=2", "conda-forge::python", "pytho"])
def test_a_conda_package_beside_python_and_pip_is_named(tmp_path: Path, spec: str) -> None:
    assert f"wants {spec} from a conda channel" in refusal(tmp_path, f"[python, pip, '{spec}']")


@pytest.mark.parametrize("spec", ["python=2.7", "python<3", "python ==2.7.18", "python>99", "Python=2.7"])
def test_another_python_than_the_interpreter_s_is_named(tmp_path: Path, spec: str) -> None:
    assert f"wants {spec}" in (message := refusal(tmp_path, f"['{spec}', pip]"))
    assert f"is Python {MINOR}." in message


def test_without_an_environment_yml_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        lock_from_interpreter(
            tmp_path / "environment.yml", Path(sys.executable), PackageStore(tmp_path / "packages")
        )
