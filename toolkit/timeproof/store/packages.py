"""The package store: every wheel, conda package and base root filesystem, under its SHA-256.

A file is hashed while it comes in, and hashed again each time it is used. What is inside a package is
nobody's business here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import check_relative, open_regular
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import DigestMismatch, NotRegular, UnsafePath

if TYPE_CHECKING:
    from timeproof.environments.lock.document import Lock


def check_file_name(name: str) -> str:
    """Return `name` unchanged if it is one safe component. Raises UnsafePath."""
    if "/" in check_relative(name):
        raise UnsafePath(name, "a package's file name has no folder in it")
    if name.startswith((".", "-")):
        raise UnsafePath(name, f"a package's file name does not start with {name[0]!r}")
    return name


def place(digest: Digest, file_name: str) -> str:
    """Where a package lies, relative to the store. Raises UnsafePath for a name that is not one component."""
    return f"sha256/{digest.hex[:2]}/{digest.hex}/{check_file_name(file_name)}"


class PackageStore:
    """A folder of packages: `sha256/<2>/<64>/<file name>`.

    Law: after `d = add_file(p)`, `open_verified(d, p.name).read() == p.read_bytes()`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: Digest, file_name: str) -> Path:
        """Where the file is or would be; nothing is checked but the name."""
        return self.root / place(digest, file_name)

    def has(self, digest: Digest, file_name: str) -> bool:
        """Whether a regular file is there; its bytes are checked when they are used."""
        try:
            return stat.S_ISREG(os.lstat(self.path(digest, file_name)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def add_file(self, path: Path, file_name: str = "", *, expected: Digest | None = None) -> Digest:
        """Copy a file into the store, hashing it on the way. Never links: the store owns its bytes.

        Raises:
            DigestMismatch: it is not the `expected` file; the store is as it was.
            StorageFailed: the disk refuses; the store is as it was.
        """
        name = check_file_name(file_name or path.name)
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise NotRegular(path, "something else")
        with atomic.storage(self.root), atomic.Staging(self.root, "package") as staging:
            made = staging.path / "file"
            with open(path, "rb", buffering=0) as source, open(made, "xb") as sink:
                digest, _ = Digest.of_stream(source, sink)
                sink.flush()
                os.fchmod(sink.fileno(), 0o644)
                os.fsync(sink.fileno())
            if expected is not None and digest != expected:
                raise DigestMismatch(path, expected, digest)
            self._publish(made, digest, name)
        return digest

    def add_bytes(self, data: bytes, file_name: str) -> Digest:
        """Put `data` into the store under `file_name`."""
        digest = Digest.of(data)
        target = self.path(digest, file_name)
        with atomic.storage(self.root):
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(target, data)
            self._sync(target.parent)
        return digest

    def _publish(self, made: Path, digest: Digest, name: str) -> None:
        # Replacing what is there is right: a name holds one content, and a damaged file is mended by it.
        target = self.path(digest, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(made, target)
        self._sync(target.parent)

    def _sync(self, folder: Path) -> None:
        while folder != self.root.parent:
            atomic.sync_folder(folder)
            folder = folder.parent

    def open_verified(self, digest: Digest, file_name: str) -> BinaryIO:
        """Open a file of the store for reading, after hashing all of it through the same descriptor.

        Raises Missing, NotRegular or DigestMismatch, each with the path.
        """
        stream = open_regular(self.root, place(digest, file_name))
        try:
            actual, _ = Digest.of_stream(stream)
            if actual != digest:
                raise DigestMismatch(self.path(digest, file_name), digest, actual)
            stream.seek(0)
        except BaseException:
            stream.close()
            raise
        return stream

    def verified(self, digest: Digest, file_name: str) -> Path:
        """Return the path of a file whose bytes were just hashed. Raises as `open_verified` does."""
        self.open_verified(digest, file_name).close()
        return self.path(digest, file_name)

    def fetch(
        self,
        lock: Lock,
        progress: Progress = SILENT,
        *,
        channels: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        """Bring in every package of `lock` that the store lacks, and hash every one that it has.

        Args:
            channels: conda channels (names or URLs) to ask, before those that the lock names.
            folder: where the lock lies, for the advice.

        Raises:
            InterpreterAbsent: all but the interpreter could be had, and none of this machine is the same.
            FetchFailed: names each file that could not be had, or whose bytes are not the locked ones.
            DigestMismatch: a file in the store was altered.
        """
        from timeproof.environments.fetch import fetch_packages  # it needs this module

        fetch_packages(lock, self, progress, channels=channels, folder=folder)
