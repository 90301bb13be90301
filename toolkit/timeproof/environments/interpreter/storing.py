"""An interpreter of this machine, packed into the package store, with its entry in a lock."""

from __future__ import annotations

import tempfile
from pathlib import Path

from timeproof.environments.interpreter.inspection import Inspection
from timeproof.environments.interpreter.package import InterpreterPackage, pack_interpreter
from timeproof.environments.lock.document import Package
from timeproof.store.packages import PackageStore


def store_interpreter(inspection: Inspection, store: PackageStore) -> tuple[InterpreterPackage, Package]:
    """Pack an interpreter into the store; return the package, and how a lock names it.

    Raises NotCapturable, StorageFailed.
    """
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        packed = pack_interpreter(inspection, Path(scratch))
        store.add_file(packed.path, expected=packed.sha256)
    package = Package.stored(
        name="python",
        version=packed.version,
        manager="conda",
        platform=packed.subdir,
        sha256=packed.sha256,
        file_name=packed.file_name,
        md5=packed.md5,
    )
    return packed, package
