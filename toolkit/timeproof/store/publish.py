"""Publishing artifacts and environments: whole, once, and never over another.

Versions are reserved by a staging folder that carries them (`.staging-v3-…`, `.staging-v3to7-…`) and is
held by its maker's lock; the metadata is put into place last, so an artifact exists once its metadata
does. What a killed maker left is removed by the next one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import check_collisions, check_relative, open_regular
from timeproof.errors import Exists, Malformed
from timeproof.store import storage
from timeproof.store.layout import TAG, Archive, Ref, implied_tag
from timeproof.store.schema.document import Document
from timeproof.store.schema.v1 import EnvironmentRecord, FileEntry, Metadata
from timeproof.store.storage import LocalStorage

_STAGED = re.compile(rf"{re.escape(atomic.STAGING)}v(\d+)(?:to(\d+))?-")
OWNED = re.compile(rf"(?:metadata|model|reference|source|witness)_({TAG.pattern})_v([1-9]\d*)(?:[._].*)?")


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

    def __init__(self, archive: Archive, first: Ref, reserved: int, folder: Path) -> None:
        self.archive, self.folder = archive, folder
        self._first, self._reserved = first, reserved
        self._files: list[str] = []  # files and folders of all that was added
        self._documents: list[str] = []  # their metadata

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
        return ref

    def discard(self) -> None:
        """Remove the files of the artifact that is now being made: its version is for another one."""
        for path in self.folder.iterdir():
            match = OWNED.fullmatch(path.name)
            if match and int(match[2]) == self.ref.version:
                _remove(path)

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
        folder = self.archive.root / self._first.folder
        with atomic.storage(folder):
            self._open_to_readers()
        storage.publish(
            LocalStorage(folder, self.archive.root),
            {name: self.folder / name for name in self._files},
            {name: self.folder / name for name in self._documents},
        )
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


def staged_versions(name: str) -> range:
    """The versions that a staging folder of that name stands for; none where it is no such name."""
    match = _STAGED.match(name)
    return range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)


def _remove_interrupted(folder: Path, tag: str, versions: set[int]) -> None:
    """Remove what a killed `publish` had moved into place already. Call it under the lock."""
    unpublished = {v for v in versions if not (folder / f"metadata_{tag}_v{v}.json").exists()}
    for path in sorted(folder.iterdir()) if unpublished else ():
        match = OWNED.fullmatch(path.name)
        if match and match[1] == tag and int(match[2]) in unpublished:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


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
    folder = archive.root / f"grid-size-{grid_size}" / framework
    with LocalStorage(folder, archive.root).exclusive():
        taken = _taken_versions(folder, tag or implied_tag(framework))
        if version is None:
            version = max(taken, default=0) + 1
        elif version in taken:
            raise Exists(archive.root / Ref(grid_size, framework, version, tag).metadata)
        label = f"v{version}" if count == 1 else f"v{version}to{version + count - 1}"
        staging = atomic.Staging(folder, label)
    with staging:
        yield Draft(archive, Ref(grid_size, framework, version, tag), count, staging.path)


def _taken_versions(folder: Path, tag: str) -> set[int]:
    """The versions that are published or being made, after removing what killed makers left.

    Call it under the folder's lock.
    """
    live = atomic.live_staging(folder)
    staged = {p.name: versions for p in folder.iterdir() if (versions := staged_versions(p.name))}
    dead = {v for n, versions in staged.items() if n.removesuffix(".guard") not in live for v in versions}
    _remove_interrupted(folder, tag, dead)
    atomic.sweep(folder)
    taken = {v for n, versions in staged.items() if n in live for v in versions}
    return taken | {int(match[2]) for p in folder.iterdir() if (match := OWNED.fullmatch(p.name))}


def publish_environment(archive: Archive, staged: Path, record: EnvironmentRecord) -> Path:
    """Move a complete environment folder into place; if another made it meanwhile, keep theirs."""
    final = archive.environments / record.folder
    data = serialize(record, final / "image.json")
    target = LocalStorage(archive.environments, archive.root)
    with target.exclusive():
        if not (final / "image.json").is_file():
            with atomic.storage(final):
                atomic.write(staged / "image.json", data, replace=False)
            target.put_if_absent({record.folder: staged})
    return final
