"""Publishing many artifacts of one framework at once: each whole or not at all, with one wait for the disk.

Every file is made durable before the first one is moved, and every artifact's files lie in their place
before the first metadata does. A kill in between leaves some artifacts published, and no half one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import check_collisions, check_relative
from timeproof.errors import Exists
from timeproof.store import publish as writer
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import FileEntry, Metadata


class Batch:
    """Artifacts that are being made in one staging folder, with versions that are kept free for them."""

    def __init__(
        self, archive: Archive, grid_size: int, framework: str, first: int, folder: Path, tag: str = ""
    ) -> None:
        self.archive, self.grid_size, self.framework, self.tag = archive, grid_size, framework, tag
        self.folder = folder
        self._first = first
        self._added: list[tuple[Ref, list[str]]] = []

    @property
    def next(self) -> Ref:
        """What the next artifact will be called."""
        return Ref(self.grid_size, self.framework, self._first + len(self._added), self.tag)

    @property
    def count(self) -> int:
        """How many artifacts were added."""
        return len(self._added)

    def write(self, name: str, data: bytes | memoryview, role: str, form: str) -> FileEntry:
        """Write a file of the next artifact's."""
        (self.folder / name).write_bytes(data)
        return FileEntry(path=name, role=role, format=form, size=len(data), sha256=Digest.of(data).hex)

    def add(self, metadata: Metadata) -> Ref:
        """Take what was written for `next` as one artifact. Raises Malformed, Limit and UnsafePath."""
        ref = self.next
        final = self.archive.root / ref.metadata
        data = writer.spelled(metadata, final)
        names = [f.path for f in metadata.files]
        for name in names:
            check_relative(name)
        check_collisions([*names, final.name])
        (self.folder / final.name).write_bytes(data)
        self._added.append((ref, names))
        return ref

    def forget(self) -> None:
        """Remove what was written for `next`: it will be another one."""
        for path in self.folder.iterdir():
            found = writer.OWNED.fullmatch(path.name)
            if found and int(found[2]) == self.next.version:
                path.unlink()

    def publish(self) -> list[Ref]:
        """Move everything into place, the metadata last.

        Raises:
            Exists: one of the versions is there already; nothing was published.
            StorageFailed: the disk refuses. What was published by then is whole.
        """
        target = self.archive.root / f"grid-size-{self.grid_size}" / self.framework
        with atomic.storage(target), atomic.lock(target, writer.LOCK):
            files = [name for _, names in self._added for name in names]
            documents = [Path(ref.metadata).name for ref, _ in self._added]
            for name in [*documents, *files]:
                if os.path.lexists(target / name):
                    raise Exists(target / name)
                os.chmod(self.folder / name, 0o644)
            atomic.sync_tree(self.folder)
            moved: list[str] = []
            try:
                for names in (files, documents):
                    for name in names:
                        os.rename(self.folder / name, target / name)
                        moved.append(name)
                    atomic.sync_folder(target)
            except BaseException:
                whole = {
                    n
                    for (_, names), d in zip(self._added, documents, strict=True)
                    if d in moved
                    for n in names
                }
                for name in moved:
                    if name not in whole and name not in documents:
                        with suppress(OSError):
                            os.rename(target / name, self.folder / name)
                raise
        return [ref for ref, _ in self._added]


@contextmanager
def batch(archive: Archive, grid_size: int, framework: str, count: int, *, tag: str = "") -> Iterator[Batch]:
    """Reserve `count` versions in a row. Leaving the block without `publish` removes every file."""
    with writer.reserved(archive, grid_size, framework, count=count, tag=tag) as (first, staging):
        yield Batch(archive, grid_size, framework, first, staging.path, tag)
