"""What tests of hostile environments share: the interpreter that runs them, as a package and on a channel."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from support.environment_making import small_package, write_repodata

from timeproof.environments.interpreter.inspection import inspect
from timeproof.environments.interpreter.package import InterpreterPackage, pack_interpreter


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> InterpreterPackage:
    return pack_interpreter(inspect(Path(sys.executable)), tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="session")
def channel(interpreter: InterpreterPackage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel on disk with that interpreter, and a stand-in for pip."""
    root = tmp_path_factory.mktemp("channel")
    (root / interpreter.subdir).mkdir()
    shutil.copy(interpreter.path, root / interpreter.subdir)
    small_package(root, "pip", "99.0", depends=["python"])
    write_repodata(root)
    return root
