"""Publishing artifacts and environments: whole, once, and never over another.

Versions are reserved by a staging folder that carries them (`.staging-v3-…`, `.staging-v3to7-…`) and is
held by its maker's lock; the metadata is put into place last, so an artifact exists once its metadata
does. What a killed maker left is removed by the next one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import check_collisions, check_relative, open_regular
from timeproof.errors import Exists, Malformed
from timeproof.store import storage
from timeproof.store.claims import Claim
from timeproof.store.layout import Archive, Ref, implied_tag
from timeproof.store.read import emulator_claims, package_claims, read_environment
from timeproof.store.schema.document import Document
from timeproof.store.schema.v1 import EnvironmentRecord, FileEntry, Metadata
from timeproof.store.storage import Reservation
from timeproof.store.versions import owned_version


def entry(folder: Path, path: str, role: str, form: str) -> FileEntry:
    """Hash `folder/path` into its entry."""
    with open_regular(folder, path) as stream:
        digest, size = Digest.of_stream(stream)
    return FileEntry(path=path, role=role, format=form, size=size, sha256=digest.hex)


def serialize(document: Document, path: Path) -> bytes:
    """Spell a document, and see that it reads back: what can't be read again must not be published.

    Some of it comes from a container, and some from the user. Raises Malformed and Limit.
    """
    try:
        data = document.to_bytes()
    except ValueError as error:
        raise Malformed(path, [str(error)]) from error
    document.parse(data, path)
    return data


class Draft:
    """Artifacts of one framework that are being made in one staging folder, and the versions kept for them.

    Fill `folder` with the files of `ref`, then `add` its metadata; so for each. `publish` makes all of them
    visible at once, with one wait for the disk.
    """

    def __init__(self, archive: Archive, first: Ref, count: int, reserved: Reservation) -> None:
        self.archive, self.folder = archive, reserved.folder
        self._first, self._reserved, self._storage = first, count, reserved.storage
        self._files: list[str] = []  # files and folders of all that was added
        self._documents: list[str] = []  # their metadata
        self._packages: dict[str, Claim] = {}  # what they name beside their environment's

    @property
    def ref(self) -> Ref:
        """What the artifact that is now being made will be called; after the last one, that one's name."""
        return self._ref(min(self.count, self._reserved - 1))

    @property
    def count(self) -> int:
        """How many artifacts were added."""
        return len(self._documents)

    def write(self, name: str, data: bytes | memoryview, role: str, form: str) -> FileEntry:
        """Write a file of the artifact that is now being made, and return its entry."""
        (self.folder / name).write_bytes(data)
        return FileEntry(path=name, role=role, format=form, size=len(data), sha256=Digest.of(data).hex)

    def add(self, metadata: Metadata) -> Ref:
        """Take the files that `metadata` names as one artifact; `ref` is the next one from now on.

        Raises:
            Malformed / Limit: the metadata could not be read back.
            UnsafePath: a file's name can't be held by every platform.
        """
        ref = self.ref
        final = self.archive.root / ref.metadata
        data = serialize(metadata, final)
        names = [f.path for f in metadata.files]
        for name in names:
            check_relative(name)
        check_collisions([*names, final.name])
        (self.folder / final.name).write_bytes(data)
        self._files += sorted({name.split("/")[0] for name in names})
        self._documents.append(final.name)
        self._packages |= {claim.path: claim for claim in emulator_claims(metadata)}
        return ref

    def discard(self) -> None:
        """Remove the files of the artifact that is now being made: its version is for another one."""
        for path in self.folder.iterdir():
            if owned_version(path.name) == self.ref.version:
                storage.remove(path)

    def publish(self, *last: Metadata) -> list[Ref]:
        """Move everything into place, the metadata last. Returns what was published.

        Args:
            last: of artifacts that are to be added before; of the only one, mostly.

        Raises:
            Exists: a version of that number was published meanwhile.
            StorageFailed: the disk refuses.
            In either case nothing was published. And what `add` raises.
        """
        for metadata in last:
            self.add(metadata)
        with atomic.storage(self.folder):
            self._open_to_readers()
        self.archive.deposit(self._packages.values())
        storage.publish(
            self._storage,
            {name: self.folder / name for name in self._files},
            {name: self.folder / name for name in self._documents},
        )
        self.archive.fetch_documents(f"{self._first.folder}/{name}" for name in self._documents)
        return [self._ref(k) for k in range(self.count)]

    def _ref(self, number: int) -> Ref:
        return replace(self._first, version=self._first.version + number)

    def _open_to_readers(self) -> None:
        """Let the container's user read all files, whatever the umask is."""
        for parent, folders, files in os.walk(self.folder):
            for folder in folders:
                os.chmod(os.path.join(parent, folder), 0o755)  # noqa: S103  the container's user reads it
            for file in files:
                os.chmod(os.path.join(parent, file), 0o644)


@contextmanager
def draft(
    archive: Archive,
    grid_size: int,
    framework: str,
    version: int | None = None,
    *,
    count: int = 1,
    tag: str = "",
) -> Iterator[Draft]:
    """Reserve the next free versions (or those from the one asked for on) and give the folder to fill.

    Leaving the block without `publish` frees the versions and removes every file.

    Args:
        count: how many versions in a row are reserved.
        tag: what the files' names carry; empty for what the framework's name implies.

    Raises Exists where the version asked for is published, or being made by another process.
    """
    first = Ref(grid_size, framework, 1, tag)
    place = archive.storage(first.folder)
    with place.reserve(tag or implied_tag(framework), version, count) as reserved:
        yield Draft(archive, replace(first, version=reserved.first), count, reserved)


def publish_environment(archive: Archive, staged: Path, record: EnvironmentRecord) -> EnvironmentRecord:
    """Move a complete environment folder into place; if another made it meanwhile, keep theirs.

    Returns the record that is published.
    """
    final = archive.environments / record.folder
    data = serialize(record, final / "image.json")
    archive.deposit(package_claims(record), record.image)
    target = archive.storage("environments")
    with target.exclusive():
        if not (final / "image.json").is_file():
            with atomic.storage(final):
                atomic.write(staged / "image.json", data, replace=False)
            document = f"environments/{record.folder}/image.json"
            try:
                target.put_if_absent({record.folder: staged})
                archive.fetch_documents([document])
            except Exists:
                archive.fetch_documents([document])
                if not (final / "image.json").is_file():
                    raise
    return read_environment(archive, record.folder)
