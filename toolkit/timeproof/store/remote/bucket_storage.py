"""Publishing into a bucket by writes on a condition, for there is no lock and no rename. Speaks to no server.

A version is reserved by an object that only one writer can create. Under it the files go first, each
created and never overwritten; the metadata is created last, and the reservation removed. One that is days old
is its dead maker's: the next writer takes it over, and only then removes what lies under it. Its maker,
should it wake up, sees that the reservation is not its own any more, and publishes nothing. A listing may be
old: nothing is decided by it alone.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.limits import LIMITS
from timeproof.base.paths import list_tree
from timeproof.errors import Exists, RemoteFailed, StorageFailed
from timeproof.store.remote.bucket import Bucket, Listed, create, digest_of
from timeproof.store.remote.transfer import several
from timeproof.store.storage import Items, Reservation
from timeproof.store.versions import (
    metadata_name,
    owned_version,
    reservation_name,
    staged_versions,
    staging_label,
)

_RESERVATION_BYTES = 256
_DOCUMENT = "image.json"  # of a folder that is put as one
_MANY_TRIES = 1000  # versions in a row that somebody else may have taken since the listing


class BucketStorage:
    """One folder of an archive in a bucket. See `Storage`.

    Args:
        folder: relative to the archive.
        drafts: a folder of this machine, in which they are made.
    """

    def __init__(self, bucket: Bucket, folder: str, drafts: Path) -> None:
        self.bucket, self.folder, self._drafts = bucket, folder, drafts
        self._token = secrets.token_hex(16).encode()  # what our reservations begin with
        self._reservations: dict[str, str] = {}  # of a version's metadata: the reservation of it
        self._put: set[str] = set()  # paths of blobs that we created
        self._lock = threading.Lock()

    # --- versions -----------------------------------------------------------------------------

    @contextmanager
    def reserve(self, tag: str, version: int | None, count: int) -> Iterator[Reservation]:
        with atomic.lock(self._drafts):
            atomic.sweep(self._drafts)
        listed = self.bucket.listed(self.folder)
        first = version or max(_taken(listed), default=0) + 1
        for _ in range(_MANY_TRIES):
            refused = self._reserve(tag, range(first, first + count))
            if refused is None:
                break
            if version is not None:
                raise Exists(self._at(metadata_name(tag, refused)))
            first = self._free_from(refused)
        else:
            raise StorageFailed(self._at(reservation_name(first)), "other writers take every version")
        try:
            self._sweep(tag, listed, range(first, first + count))
            staging = atomic.Staging(self._drafts, staging_label(first, count))
            with staging:
                yield Reservation(first, staging.path, self)
        finally:
            self._free()

    def _reserve(self, tag: str, versions: range) -> int | None:
        """Reserve all these versions; None, or one that another writer has, and then none is ours.

        The first is reserved before the others: whoever is refused it reads there how many follow.
        """
        content = self._token + b" %d" % versions[-1]
        refused: list[int] = []

        def reserve(version: int) -> None:
            name, path = metadata_name(tag, version), self._path(reservation_name(version))
            if not self.bucket.create(path, content) and not self._is_ours(path):
                refused.append(version)
                return
            self._reservations[name] = path
            # A reservation goes once its metadata is there: who gets it after that sees the metadata.
            if self.bucket.size(self._path(name)) is not None:
                refused.append(version)

        reserve(versions[0])
        if not refused:
            several(reserve, versions[1:])
        if refused:
            self._free()
        return max(refused, default=None)

    def _free_from(self, refused: int) -> int:
        """The first version behind those that the writer which has `refused` said it would take."""
        content = self.bucket.read(self._path(reservation_name(refused)), _RESERVATION_BYTES)
        last = content[0].rpartition(b" ")[2] if content is not None else b""
        return max(refused, int(last) if last.isdigit() and len(last) < 10 else 0) + 1

    def _is_ours(self, reservation: str) -> bool:
        content = self.bucket.read(reservation, _RESERVATION_BYTES)
        return content is not None and content[0].partition(b" ")[0] == self._token

    def _free(self) -> None:
        with suppress(StorageFailed, RemoteFailed):  # what stays is a leftover, and takes one number
            several(self.bucket.remove, [c for c in self._reservations.values() if self._is_ours(c)])
        self._reservations.clear()

    def _sweep(self, tag: str, listed: Mapping[str, Listed], reserved: range) -> None:
        """Remove what writers left that died days ago. Without luck it is left to the next one."""
        if all(not staged_versions(name) for name in listed):
            return
        with suppress(StorageFailed, RemoteFailed):
            present = self.bucket.listed(self.folder)
            for version in sorted(set(_stale(present)) - set(reserved)):
                reservation = self._path(reservation_name(version))
                content = self.bucket.read(reservation, _RESERVATION_BYTES)
                if content is None or not self.bucket.replace(reservation, self._token, content[1]):
                    continue
                if self.bucket.size(self._path(metadata_name(tag, version))) is None:
                    leftovers = [p for p in present if owned_version(p.split("/")[0], tag) == version]
                    several(self.bucket.remove, [self._path(p) for p in leftovers])
                self.bucket.remove(reservation)

    # --- what is put --------------------------------------------------------------------------

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        yield  # nobody can be kept out; a reservation keeps others off a version

    def put_blobs(self, items: Items) -> None:
        try:
            several(self._put_blob, _files(items))
        except BaseException:
            self.take_back(items)
            raise

    def _put_blob(self, item: tuple[str, Path]) -> None:
        path = self._path(item[0])
        if create(self.bucket, path, item[1]):
            with self._lock:
                self._put.add(path)

    def take_back(self, items: Items) -> None:
        paths = {self._path(name) for name, _ in _files(items)} & self._put
        with suppress(StorageFailed, RemoteFailed):
            self._require_reserved(self._reservations)  # else they are another writer's by now, or gone
            several(self.bucket.remove, sorted(paths))
        self._put -= paths

    def put_if_absent(self, documents: Items) -> None:
        written: dict[str, Path] = {}
        try:
            self._require_reserved(documents)
            for name, staged in documents.items():
                path = self._path(name)
                if staged.is_dir():
                    self._put_folder(path, staged)
                else:
                    written[path] = staged  # before it is: the answer to a write can be lost
                    create(self.bucket, path, staged)
            self._confirm(documents)
        except BaseException:
            with suppress(StorageFailed, RemoteFailed):
                several(self._withdraw, written.items())
            raise

    def _withdraw(self, document: tuple[str, Path]) -> None:
        """Remove a document where it is the one that we wrote."""
        path, staged = document
        if self.bucket.digest(path) == digest_of(staged):
            self.bucket.remove(path)

    def _put_folder(self, path: str, staged: Path) -> None:
        """Put a folder's files, then its document. A mark beside it says what they are until then."""
        document = f"{path}/{_DOCUMENT}"
        if self.bucket.size(document) is not None:
            raise Exists(f"{self.bucket.address}/{path}")
        parent, _, name = path.rpartition("/")
        mark = f"{parent}/{atomic.STAGING}{name}"
        self.bucket.create(mark, self._token)
        files = [n for n in list_tree(staged) if n != _DOCUMENT]
        try:
            several(lambda n: _put_file(self.bucket, f"{path}/{n}", staged / n), files)
            create(self.bucket, document, staged / _DOCUMENT)
        except Exists as error:
            if self.bucket.size(document) is None:
                raise _half_there(error.path, f"{self.bucket.address}/{path}") from error
            raise
        finally:
            with suppress(StorageFailed, RemoteFailed):
                if self.bucket.size(document) is not None:
                    self.bucket.remove(mark)

    def _require_reserved(self, documents: Iterable[str]) -> None:
        """Raise StorageFailed where a version is not reserved for us any more: its files may be gone."""

        def check(reservation: str) -> None:
            if not self._is_ours(reservation):
                raise self._taken_for_dead(reservation)

        several(check, [self._reservations[name] for name in documents if name in self._reservations])

    def _confirm(self, documents: Iterable[str]) -> None:
        """See that nobody swept what was just published: who sweeps takes it over, then looks at it."""
        lost = [c for name in documents if (c := self._reservations.get(name)) and not self._is_ours(c)]
        for reservation in lost:
            if not any(self._regain(reservation) for _ in range(LIMITS.remote_tries)):
                raise self._taken_for_dead(reservation)
        if lost and any(self.bucket.size(path) is None for path in self._put):
            raise self._taken_for_dead(lost[0])

    def _regain(self, reservation: str) -> bool:
        time.sleep(0.2)  # it is being swept at this moment
        return self.bucket.create(reservation, self._token)

    def _taken_for_dead(self, reservation: str) -> StorageFailed:
        return StorageFailed(
            f"{self.bucket.address}/{reservation}",
            "it took days to make this artifact, and another writer took it for dead",
        )

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def _at(self, name: str) -> str:
        return f"{self.bucket.address}/{self._path(name)}"


def _put_file(bucket: Bucket, path: str, source: Path) -> None:
    create(bucket, path, source)


def _half_there(file: str, folder: str) -> StorageFailed:
    error = StorageFailed(file, "another writer puts this environment there, or was interrupted before")
    error.advice = f"if nobody is writing, remove {folder}/, which nothing names, and run the command again"
    return error


def _files(items: Items) -> list[tuple[str, Path]]:
    """Every file of what is put: its path below the storage's folder, and where it is."""
    pairs: list[tuple[str, Path]] = []
    for name, staged in items.items():
        if staged.is_dir():
            pairs += [(f"{name}/{below}", staged / below) for below in list_tree(staged)]
        else:
            pairs.append((name, staged))
    return pairs


def _taken(names: Iterable[str]) -> set[int]:
    """The versions that are published, being made or left over, by a listing."""
    tops = {name.split("/")[0] for name in names}
    return {v for n in tops for v in staged_versions(n)} | {
        v for n in tops if (v := owned_version(n)) is not None
    }


def _stale(present: Mapping[str, Listed]) -> Iterator[int]:
    """The versions reserved too long ago. The newest object, mostly our reservation, says what time it is."""
    now = max((entry.modified for entry in present.values()), default=None)
    for name, entry in present.items():
        for version in staged_versions(name):
            age = 0.0 if now is None else (now - entry.modified).total_seconds()
            if name == reservation_name(version) and age > LIMITS.reservation_seconds:
                yield version
