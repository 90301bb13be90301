"""The package store: every wheel, conda package and base root filesystem, under its SHA-256.

A file is hashed while it comes in, and hashed again each time it is used. What is inside a package is
not known here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import open_regular
from timeproof.errors import DigestMismatch, NotRegular
from timeproof.store.package_paths import check_file_name, package_path


class PackageStore:
    """A folder of packages: `sha256/<2>/<64>/<file name>`.

    Law: after `d = add_file(p)`, `open_verified(d, p.name).read() == p.read_bytes()`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: Digest, file_name: str) -> Path:
        """Where the file is or would be; nothing is checked but the name."""
        return self.root / package_path(digest, file_name)

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
            staged = staging.path / "file"
            with open(path, "rb", buffering=0) as source, open(staged, "xb") as sink:
                digest, _ = Digest.of_stream(source, sink)
                sink.flush()
                os.fchmod(sink.fileno(), 0o644)
                os.fsync(sink.fileno())
            if expected is not None and digest != expected:
                raise DigestMismatch(path, expected, digest)
            self._publish(staged, digest, name)
        return digest

    def add_bytes(self, data: bytes, file_name: str) -> Digest:
        """Put `data` into the store under `file_name`."""
        digest = Digest.of(data)
        target = self.path(digest, file_name)
        with atomic.storage(self.root):
            atomic.make_folder(target.parent)
            atomic.write(target, data)
            atomic.sync_folders_up(target.parent, self.root)
        return digest

    def _publish(self, staged: Path, digest: Digest, name: str) -> None:
        # Replacing what is there is right: a name holds one content, and a damaged file is mended by it.
        target = self.path(digest, name)
        atomic.make_folder(target.parent)
        os.rename(staged, target)
        atomic.sync_folders_up(target.parent, self.root)

    def open_verified(self, digest: Digest, file_name: str) -> BinaryIO:
        """Open a file of the store for reading, after hashing all of it through the same descriptor.

        Raises Missing, NotRegular or DigestMismatch, each with the path.
        """
        stream = open_regular(self.root, package_path(digest, file_name))
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
