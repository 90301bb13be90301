"""Archives that lie elsewhere: `s3://bucket/models`, or any address that fsspec knows. Reads only.

A mirror in the local cache looks like the archive, and holds what was asked for so far: the documents
first, every other file on demand. A file enters the mirror only once its bytes had the recorded SHA-256;
documents carry their own, which whoever reads them checks.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import iglob
from pathlib import Path
from typing import Any

from timeproof.base import atomic
from timeproof.base.cachedir import cache_folder
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import check_relative
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import (
    AccessDenied,
    BadArchive,
    DigestMismatch,
    Limit,
    Missing,
    RemoteFailed,
    SizeMismatch,
    UnsafePath,
    raise_findings,
)
from timeproof.store.claims import Claim
from timeproof.store.layout import Archive, Ref
from timeproof.store.remote.address import Copy, address_of, folder_name, nothing_there
from timeproof.store.remote.transfer import Bounded, Sink, reaching, several

_DOCUMENT = re.compile(
    r"grid-size-\d+/[a-z][a-z0-9_]*/metadata_[^/]+\.json|environments/[^/.][^/]*/image\.json"
)
_NOTES = ".remote.json"  # of each document in the mirror: its size, and what tells that it changed
_TELLS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")
_ROUNDS = 4  # of copying a whole archive while others write into it
_BLOCK = 8 * 2**20  # bytes asked for at once, of one file


def open_archive(
    place: str | Path, *, documents: Iterable[str] | None = None, progress: Progress = SILENT
) -> Archive:
    """Open an archive to read it, wherever it lies.

    Args:
        place: its folder, or the address of one.
        documents: of a remote one, the only documents that will be read; None for all that there are.

    Raises:
        NotFound: there is no such bucket or folder. BadRequest: nothing speaks its protocol.
        AccessDenied / RemoteFailed.
    """
    address = address_of(place)
    if address is None:
        return Archive(place)
    archive = Mirror(address)
    if documents is None:
        archive.refresh(progress)
    else:
        archive.fetch_documents(dict.fromkeys(documents))
    return archive


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file at the address, as it is listed."""

    size: int  # bytes
    tell: str  # changes when the file does; "" where nothing tells


class Mirror(Archive):
    """The part of a remote archive that is here. See `Archive`; `root` is the mirror's folder."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(cache_folder("remote", folder_name(address)))
        self._exists = False  # whether something lies at the address
        with reaching(address):
            from fsspec.core import url_to_fs  # heavy, and only remote archives need it

            self._fs, self._base = url_to_fs(address, use_listings_cache=False, skip_instance_cache=True)

    @property
    def name(self) -> str:
        return self.address

    def require(self) -> None:
        if not self._exists:
            with reaching(self.address):
                self._exists = bool(self._fs.exists(self._base))
        if not self._exists:
            raise nothing_there(self.address)

    # --- documents ----------------------------------------------------------------------------

    def refresh(self, progress: Progress = SILENT) -> None:
        """Bring every document that is new or changed, and drop those that are gone."""
        progress.step(f"Listing {self.address}")
        listed = self._listed()
        wanted = {p: e for p, e in listed.items() if _DOCUMENT.fullmatch(p)}
        notes = self._notes()
        for path in {*notes, *self._documents_here()} - set(wanted):
            with suppress(OSError):
                (self.root / path).unlink()
        changed = {
            p: e
            for p, e in wanted.items()
            if not e.tell or notes.get(p) != [e.size, e.tell] or not (self.root / p).is_file()
        }
        if changed:
            progress.step(f"Reading {len(changed)} documents from {self.address}")
        self.fetch_documents(changed)
        noted = {p: [e.size, e.tell] for p, e in wanted.items() if (self.root / p).is_file()}
        with atomic.storage(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            atomic.write(self.root / _NOTES, json.dumps(noted, separators=(",", ":")).encode())

    def _documents_here(self) -> Iterator[str]:
        for pattern in ("grid-size-*/*/metadata_*.json", "environments/*/image.json"):
            yield from iglob(pattern, root_dir=self.root)

    def fetch_documents(self, paths: Iterable[str]) -> None:
        """Fetch documents as they are now. One that is not there is absent in the mirror, too."""

        def fetch(path: str) -> None:
            with suppress(FileNotFoundError):
                _, size = self._copy(path, self.root / path, limit=LIMITS.json_bytes + 1)
                if size > LIMITS.json_bytes:
                    raise Limit(self._at(path), f"more than {LIMITS.json_bytes} bytes of JSON")

        several(fetch, paths)

    def _listed(self) -> dict[str, _Entry]:
        """Everything at the address, by its path below it. Raises NotFound where there is nothing."""
        with reaching(self.address):
            try:
                entries = self._fs.find(self._base, detail=True)
            except FileNotFoundError:
                entries = {}
        base = self._base.strip("/") + "/"
        listed = {}
        for name, facts in entries.items():
            path = name.lstrip("/").removeprefix(base)
            tell = next((str(facts[t]) for t in _TELLS if facts.get(t)), "")
            listed[path] = _Entry(int(facts.get("size") or 0), tell)
        if not listed:
            raise nothing_there(self.address)
        self._exists = True
        return listed

    def _notes(self) -> dict[str, list[Any]]:
        with suppress(OSError, ValueError):
            notes = json.loads((self.root / _NOTES).read_bytes())
            if isinstance(notes, dict):
                return notes
        return {}

    # --- everything else ----------------------------------------------------------------------

    def fetch(self, claims: Iterable[Claim]) -> None:
        """Fetch what the mirror lacks or has otherwise than recorded; each is hashed as it comes.

        Raises Missing, SizeMismatch or DigestMismatch, each with the address, or all of them at once.
        """
        findings: list[BadArchive] = []

        def fetch(claim: Claim) -> None:
            try:
                self._bring(claim)
            except FileNotFoundError:
                findings.append(Missing(self._at(claim.path)))
            except BadArchive as error:
                findings.append(error)

        several(fetch, {c.path: c for c in claims}.values())
        raise_findings(self.address, sorted(findings, key=lambda f: f.path))

    def _bring(self, claim: Claim) -> None:
        target = self.root / check_relative(claim.path)
        with suppress(OSError), target.open("rb", buffering=0) as stream:
            if Digest.of_stream(stream)[0].hex == claim.sha256:
                return

        def check(actual: Digest, size: int) -> None:
            if claim.size is not None and size != claim.size:
                raise SizeMismatch(self._at(claim.path), claim.size, size)
            if actual.hex != claim.sha256:
                raise DigestMismatch(self._at(claim.path), Digest(claim.sha256), actual)

        self._copy(claim.path, target, limit=claim.size or LIMITS.json_bytes, check=check)

    def _at(self, path: str) -> str:
        return f"{self.address}/{path}"

    def _copy(
        self,
        path: str,
        target: Path,
        *,
        limit: int | None,
        check: Callable[[Digest, int], None] = lambda *_: None,
    ) -> tuple[Digest, int]:
        """Copy one file to `target`, whole and checked or not at all. Raises FileNotFoundError.

        A transfer that breaks off is begun again, a bounded number of times.
        """
        beside = target.with_name(f"{atomic.STAGING}{secrets.token_hex(8)}")
        with atomic.storage(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            for attempt in range(1, LIMITS.remote_tries + 1):
                try:
                    with atomic.storage(target), beside.open("wb") as file:
                        digest, size = self._stream(path, Sink(file, target), limit)
                    break
                except RemoteFailed as error:
                    if attempt == LIMITS.remote_tries or isinstance(error, AccessDenied):
                        raise
            check(digest, size)
            with atomic.storage(target):
                beside.rename(target)
            return digest, size
        finally:
            beside.unlink(missing_ok=True)

    def _stream(self, path: str, sink: Sink, limit: int | None) -> tuple[Digest, int]:
        at = f"{self._base.rstrip('/')}/{path}"
        with reaching(self._at(path)), self._fs.open(at, "rb", block_size=_BLOCK) as remote:
            source = Bounded(remote, limit)
            digest, size = Digest.of_stream(source, sink)  # type: ignore[arg-type]  # it has readinto
            if limit is None or size < limit:
                announced = getattr(remote, "size", None)
                if isinstance(announced, int) and size < announced:
                    raise EOFError(f"the transfer was cut: {size} of {announced} bytes came")
        return digest, size

    @contextmanager
    def whole(self, refs: Sequence[Ref] | None, progress: Progress) -> Iterator[Archive]:
        """A copy of all that lies at the address, read anew, for as long as it is verified."""
        folders = tuple(f"{r.folder}/" for r in refs or ())

        def wanted() -> dict[str, _Entry]:
            return {
                path: entry
                for path, entry in self._listed().items()
                if refs is None or path.startswith(folders) or _DOCUMENT.fullmatch(path)
            }

        scratch = self.root.with_name(f"{atomic.STAGING}{secrets.token_hex(8)}")

        def fetch(path: str) -> None:
            try:
                check_relative(path)
            except UnsafePath as error:
                raise UnsafePath(self._at(path), error.why) from None
            with suppress(FileNotFoundError):  # it went since it was listed: it is missing then
                self._copy(path, scratch / path, limit=None)
            progress.detail(path)

        copied: dict[str, _Entry] = {}
        try:
            for _ in range(_ROUNDS):  # what others publish meanwhile comes whole, or not at all
                listed = wanted()
                changed = {p: e for p, e in listed.items() if copied.get(p) != e}
                if not changed:
                    break
                size = sum(e.size for e in changed.values())
                progress.step(f"Reading {size / 1e6:.0f} MB from {self.address}")
                several(fetch, changed)
                for gone in set(copied) - set(listed):
                    (scratch / gone).unlink(missing_ok=True)
                copied = listed
            yield Copy(scratch, self.address)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
