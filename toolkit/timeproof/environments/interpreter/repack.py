"""Packs the interpreter that a lock names again, from one of this machine: the bytes must be equal.

A captured interpreter lies on no channel. On a machine with the same one, packing it gives the same
package, to the bit; so a lock made here builds there without a copy of the package store.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from timeproof.environments.interpreter.inspection import inspect
from timeproof.environments.interpreter.package import pack_interpreter
from timeproof.environments.lock.document import Package
from timeproof.errors import TimeproofError
from timeproof.store.packages import PackageStore


def _candidates(version: str) -> Iterator[Path]:
    """Interpreters of that version, best guess first. Running one only asks for its version."""
    minor = ".".join(version.split(".")[:2])
    yielded: set[Path] = set()
    base = Path(sys.base_prefix)
    named = [Path(sys.executable), base / "bin" / f"python{minor}", Path(f"/usr/bin/python{minor}")]
    if on_path := shutil.which(f"python{minor}"):
        named.append(Path(on_path))
    # Where versions lie side by side: beside ours, pyenv's, uv's.
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    for folder, pattern in ((base.parent, version), (pyenv, version), (uv, f"cpython-{version}-")):
        named += sorted(folder.glob(f"{pattern}*/bin/python{minor}"))
    for path in named:
        if path.is_file() and (real := path.resolve()) not in yielded:
            yielded.add(real)
            yield path


def is_packed(package: Package) -> bool:
    """Whether a package is an interpreter that was packed by this toolkit, which is on no channel."""
    return package.name == "python" and "-timeproof_" in package.file_name


def nearest(version: str) -> Path | None:
    """An interpreter of this machine of the same minor version, the very version first."""
    candidates: list[tuple[bool, int, Path]] = []
    for python in _candidates(version):
        try:
            inspection = inspect(python)
        except TimeproofError:
            continue
        if inspection.minor == ".".join(version.split(".")[:2]):
            candidates.append((inspection.version != version, len(candidates), python))
    return min(candidates)[2] if candidates else None


def pack_if_identical(package: Package, store: PackageStore) -> bool:
    """Put the interpreter `package` into the store, if one of this machine's is exactly it."""
    if package.name != "python" or not package.platform.startswith("linux-"):
        return False
    for python in _candidates(package.version):
        try:
            inspection = inspect(python)
            if (inspection.version, inspection.subdir) != (package.version, package.platform):
                continue
            with tempfile.TemporaryDirectory(prefix="timeproof-python-") as scratch:
                packed = pack_interpreter(inspection, Path(scratch))
                if packed.sha256 == package.sha256:
                    store.add_file(packed.path, package.file_name, expected=package.sha256)
                    return True
        except TimeproofError:
            continue  # another candidate may do; the fetch says what is missing
    return False
