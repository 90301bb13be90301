"""Where what is published ends up: files that nothing names yet, then the documents that name them.

An artifact exists once its metadata does, so the order of a publication is always the same: `put_blobs`,
then `put_if_absent`. A kill in between leaves files without a document, and no document without its files.

Locally the two are a rename and a link. In a bucket (`remote.bucket_storage`) the blobs are uploaded, and
each document is written on the condition that there is none (`If-None-Match: *`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from timeproof.base import atomic
from timeproof.errors import Exists
from timeproof.store.versions import metadata_name, owned_version, staged_versions, staging_label

# What is put: its name in the storage, and the file or folder that has the content. It is moved.
Items = Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Reservation:
    """Versions in a row that nobody else takes, and an empty folder to make their files in."""

    first: int
    folder: Path
    storage: Storage  # by which they are published


class Storage(Protocol):
    """One folder of an archive, as a publication sees it.

    Laws:
        Of several writers that put one name by `put_if_absent`, exactly one succeeds; the others get Exists.
        When either call returns, what it put is durable, and so are its name and the folders on the way.
        When either call raises, nothing that it put is there.
        No two reservations that are held at once have a version in common, and none has a published version.
    """

    def reserve(self, tag: str, version: int | None, count: int) -> AbstractContextManager[Reservation]:
        """Keep the next free versions (or those from `version` on) for as long as the block runs.

        Args:
            tag: what the names of the artifacts' files carry.
            count: how many in a row.

        Raises Exists where `version` is published, or being made by another process.
        """

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other writers out, where the storage can. `put_if_absent` holds its law without it."""

    def put_blobs(self, items: Items) -> None:
        """Put files and folders that no document names yet. Raises Exists, StorageFailed."""

    def take_back(self, items: Items) -> None:
        """Undo `put_blobs`, as far as the storage still lets us."""

    def put_if_absent(self, documents: Items) -> None:
        """Put documents, or folders with their document inside, each whole. Raises Exists, StorageFailed."""


def publish(storage: Storage, blobs: Items, documents: Items) -> None:
    """Put `blobs`, then `documents`: all of it or nothing. Raises Exists, StorageFailed."""
    with storage.exclusive():
        storage.put_blobs(blobs)
        try:
            storage.put_if_absent(documents)
        except BaseException:
            storage.take_back(blobs)
            raise


class LocalStorage:
    """A folder on a file system that has links and a rename that replaces nothing halfway.

    Args:
        folder: where names are put; made on demand.
        root: the archive's folder. From `folder` up to it every folder's names are made durable.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root

    @contextmanager
    def reserve(self, tag: str, version: int | None, count: int) -> Iterator[Reservation]:
        with self.exclusive():
            taken = taken_versions(self.folder, tag)
            if version is None:
                version = max(taken, default=0) + 1
            elif version in taken:
                raise Exists(self.folder / metadata_name(tag, version))
            staging = atomic.Staging(self.folder, staging_label(version, count))
        with staging:
            yield Reservation(version, staging.path, self)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with atomic.storage(self.folder), atomic.lock(self.folder):
            yield

    def put_blobs(self, items: Items) -> None:
        with atomic.storage(self.folder):
            self._require_absent(items)
            atomic.sync_all(items.values())
            try:
                for name, staged in items.items():
                    os.rename(staged, self.folder / name)
                self._sync()
            except BaseException:
                self.take_back(items)
                raise

    def take_back(self, items: Items) -> None:
        for name, staged in items.items():
            if not os.path.lexists(staged):
                with suppress(OSError):
                    os.rename(self.folder / name, staged)

    def put_if_absent(self, documents: Items) -> None:
        with atomic.storage(self.folder):
            atomic.sync_all(documents.values())
            try:
                for name, staged in documents.items():
                    self._put_document(name, staged)
                self._sync()
            except BaseException:
                for name, staged in documents.items():
                    self._remove_document(name, staged)
                raise

    def _put_document(self, name: str, staged: Path) -> None:
        target = self.folder / name
        try:
            if staged.is_dir():
                os.rename(staged, target)  # a folder with something in it is never replaced
            else:
                os.link(staged, target)
        except (FileExistsError, NotADirectoryError):
            raise Exists(target) from None
        except OSError:
            if staged.is_dir() and os.path.lexists(target):
                raise Exists(target) from None
            raise

    def _remove_document(self, name: str, staged: Path) -> None:
        """Remove a document that this call has put: another writer's own is another file."""
        target = self.folder / name
        with suppress(OSError):
            if os.path.lexists(staged):
                if os.path.samefile(staged, target):
                    target.unlink()
            else:
                os.rename(target, staged)

    def _require_absent(self, items: Items) -> None:
        for name in items:
            if os.path.lexists(self.folder / name):
                raise Exists(self.folder / name)

    def _sync(self) -> None:
        atomic.sync_folders_up(self.folder, self.root)


def taken_versions(folder: Path, tag: str) -> set[int]:
    """The versions that are published or being made, after removing what killed makers left.

    Call it under the folder's lock.
    """
    live = staged_now(folder)
    staged = {p.name: versions for p in folder.iterdir() if (versions := staged_versions(p.name))}
    dead = {v for versions in staged.values() for v in versions} - live
    _remove_interrupted(folder, tag, dead)
    atomic.sweep(folder)
    return live | {v for p in folder.iterdir() if (v := owned_version(p.name)) is not None}


def staged_now(folder: Path) -> set[int]:
    """The versions that running makers of this machine keep."""
    return {v for name in atomic.live_staging(folder) for v in staged_versions(name)}


def _remove_interrupted(folder: Path, tag: str, versions: set[int]) -> None:
    """Remove what a killed `publish` had moved into place already. Call it under the lock."""
    unpublished = {v for v in versions if not (folder / metadata_name(tag, v)).exists()}
    for path in sorted(folder.iterdir()) if unpublished else ():
        if owned_version(path.name, tag) in unpublished:
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is below it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
