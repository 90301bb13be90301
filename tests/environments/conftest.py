"""Real interpreters, virtual environments, wheels and channels for the tests of capturing and locking."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.environment_making import pip, run, small_package, write_repodata

from timeproof.environments.conda.package_format import Entry
from timeproof.environments.interpreter.inspection import inspect
from timeproof.environments.interpreter.package import InterpreterPackage, pack_interpreter
from timeproof.store.packages import PackageStore

Venv = Callable[..., Path]


def sibling_interpreters() -> dict[str, Path]:
    """The interpreters that stand beside ours (pyenv), by minor version; TIMEPROOF_PYTHONS adds folders."""
    roots = [Path(sys.base_prefix).parent]
    roots += [Path(p) for p in os.environ.get("TIMEPROOF_PYTHONS", "").split(os.pathsep) if p]
    interpreters = {}
    for root in roots:
        for path in sorted(root.glob("*/bin/python3.*")):
            minor = path.name.removeprefix("python")
            if minor.replace(".", "").isdigit() and os.access(path, os.X_OK):
                interpreters.setdefault(minor, path)
    return interpreters


@pytest.fixture(scope="session")
def sibling() -> Callable[[str], Path]:
    interpreters = sibling_interpreters()

    def get(minor: str) -> Path:
        if minor not in interpreters:
            pytest.skip(f"there is no Python {minor} beside the one that runs the tests")
        return interpreters[minor]

    return get


@pytest.fixture(scope="session")
def system_python() -> Path:
    path = Path("/usr/bin/python3")
    if not path.exists() or not Path("/usr/lib/python3/dist-packages").is_dir():
        pytest.skip("there is no Debian or Ubuntu interpreter at /usr/bin/python3")
    return path


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    """Make a virtual environment without pip, and install `requirements` with the toolkit's."""

    def make(*requirements: str | Path, of: Path | None = None, name: str = "venv") -> Path:
        folder = tmp_path / name
        run(of or sys.executable, "-m", "venv", "--without-pip", folder)
        python = folder / "bin" / "python"
        if requirements:
            pip(python, "install", "--no-deps", "--no-compile", *requirements)
        return python

    return make


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    return PackageStore(tmp_path / "packages")


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> InterpreterPackage:
    """The interpreter that runs the tests, packed once."""
    return pack_interpreter(inspect(Path(sys.executable)), tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="session")
def channel(packed: InterpreterPackage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conda channel on disk: our own interpreter, a stand-in for osx-arm64's, small packages."""
    root = tmp_path_factory.mktemp("channel")
    subdir = root / packed.subdir
    subdir.mkdir()
    (subdir / packed.file_name).write_bytes(packed.path.read_bytes())
    small_package(
        root, "python", packed.version, subdir="osx-arm64", files=[Entry("bin/python", b"#!/bin/sh\n")]
    )
    small_package(
        root, "pip", "99.0", depends=["python"], files=[Entry("site-packages/pip_stand_in.py", b"")]
    )
    small_package(
        root,
        "greeting",
        "1.2",
        depends=["python >=3.8", "small-library"],
        files=[Entry("site-packages/greeting.py", b"import small_library\nhello = 'hello'\n")],
    )
    small_package(
        root,
        "small-library",
        "0.3",
        depends=["python"],
        files=[Entry("site-packages/small_library.py", b"n = 3\n")],
    )
    write_repodata(root)
    return root
