"""Checking bytes against what the archive says of them. Loads no model, unpacks no image.

`check_artifact` and `check_environment` are what a replay asks before anything is loaded; `verify`
checks the whole archive, finds everything in one run, and reads files on all cores.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import list_tree, open_regular, open_within
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import (
    BadArchive,
    DigestMismatch,
    Limit,
    Malformed,
    Missing,
    NotRegular,
    SizeMismatch,
    Unlisted,
    Unreadable,
    raise_findings,
)
from timeproof.store import oci_layout
from timeproof.store.layout import NAME, Archive, Ref, may_carry
from timeproof.store.publish import OWNED, staged_versions
from timeproof.store.schema.v1 import Document, EnvironmentRecord, ImageIdentity, Metadata

_D = TypeVar("_D", bound=Document)
# The locks that writers leave; any other `.lock` is a file like all others.
_LOCKS = re.compile(
    rf"(?:grid-size-[1-9]\d*/{NAME.pattern}|environments|images)/\.lock|environments/\.[^/]+\.lock"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What some document says of one file's bytes. `path` is relative to the archive's root."""

    path: str
    size: int | None  # bytes; None where only the digest is stated
    sha256: str


@dataclass(slots=True)
class Report:
    """What `verify` found."""

    files: int = 0
    bytes: int = 0
    artifacts: int = 0
    environments: int = 0
    findings: list[BadArchive] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)  # of interrupted writers; harmless

    @property
    def ok(self) -> bool:
        return not self.findings


def check_claim(root: Path, claim: Claim) -> BadArchive | None:
    """Hash one file; None where its bytes are the claimed ones. Memory is flat."""
    try:
        with open_regular(root, claim.path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if claim.size is not None and size != claim.size:
                return SizeMismatch(root / claim.path, claim.size, size)
            digest, size = Digest.of_stream(stream)
    except BadArchive as error:
        return error
    except OSError as error:
        return Unreadable(root / claim.path, error)
    if claim.size is not None and size != claim.size:
        return SizeMismatch(root / claim.path, claim.size, size)
    if digest.hex != claim.sha256:
        return DigestMismatch(root / claim.path, Digest(claim.sha256), digest)
    return None


def check_claims(root: Path, claims: Sequence[Claim], *, workers: int | None = None) -> list[BadArchive]:
    """Check every claim, the largest first, on all cores."""
    ordered = sorted(claims, key=lambda c: -(c.size or 0))
    if len(ordered) < 2 or sum(c.size or 0 for c in ordered) < 1 << 20:
        results: Iterable[BadArchive | None] = (check_claim(root, c) for c in ordered)
        return sorted((r for r in results if r), key=lambda e: e.path)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        results = list(pool.map(lambda c: check_claim(root, c), ordered))
    return sorted((r for r in results if r), key=lambda e: e.path)


def read_document(root: Path, path: str, kind: type[_D], parent: int | None = None) -> _D:
    """Read one document below `root`, bounded and checked. The one way in from disk.

    Args:
        parent: the folder that holds it, where that is open already, by `open_parent`.
    """
    try:
        with open_regular(root, path) if parent is None else open_within(parent, root, path) as stream:
            size = os.fstat(stream.fileno()).st_size  # reading takes memory for as much as is asked for
            data = stream.read(min(size, LIMITS.json_bytes) + 1)
    except OSError as error:
        raise Unreadable(root / path, error) from error
    if len(data) > LIMITS.json_bytes:
        raise Limit(root / path, f"more than {LIMITS.json_bytes} bytes of JSON")
    return kind.parse(data, root / path)


def read_metadata(archive: Archive, ref: Ref, parent: int | None = None) -> Metadata:
    """Read an artifact's metadata, and check that it lies where it says it belongs."""
    metadata = read_document(archive.root, ref.metadata, Metadata, parent)
    found = Ref(metadata.grid_size, metadata.framework.name, metadata.version)
    if found != ref:
        raise Malformed(archive.root / ref.metadata, [f"it describes {found}, and lies where {ref} belongs"])
    if (tag := metadata.framework.tag) and f"{tag}_v{ref.version}" != ref.tag:
        raise Malformed(archive.root / ref.metadata, [f"its tag is {tag!r}, which its file's name is not of"])
    return metadata


def read_environment(archive: Archive, name: str) -> EnvironmentRecord:
    """Read an environment's image.json. Raises Missing where the environment is not there."""
    path = f"environments/{name}/image.json"
    if not (archive.root / path).exists():
        raise Missing(archive.root / path)
    record = read_document(archive.root, path, EnvironmentRecord)
    if record.folder != name:
        raise Malformed(archive.root / path, [f"it describes {record.folder}, and lies in {name}"])
    return record


def artifact_claims(ref: Ref, metadata: Metadata) -> list[Claim]:
    return [Claim(f"{ref.folder}/{f.path}", f.size, f.sha256) for f in metadata.files]


def emulator_claims(metadata: Metadata) -> list[Claim]:
    """What an artifact says of the programs that simulated CPUs for it; a replay natively needs none."""
    return [
        Claim(f"packages/sha256/{e.sha256[:2]}/{e.sha256}/{e.file}", e.size, e.sha256)
        for e in metadata.emulators
    ]


def environment_claims(record: EnvironmentRecord) -> list[Claim]:
    return [Claim(f"environments/{record.folder}/{f.path}", f.size, f.sha256) for f in record.files]


def package_claims(record: EnvironmentRecord) -> list[Claim]:
    return [
        Claim(f"packages/sha256/{p.sha256[:2]}/{p.sha256}/{p.file}", p.size, p.sha256)
        for p in record.packages
    ]


def _unlisted(root: Path, folder: str, listed: Iterable[str]) -> list[BadArchive]:
    there = root / folder
    if not there.is_dir() or there.is_symlink():
        return []
    known = set(listed)
    return [Unlisted(root / folder / p) for p in list_tree(there) if f"{folder}/{p}" not in known]


def read_artifact(archive: Archive, ref: Ref) -> Metadata:
    """Read an artifact's metadata, and see that its files can be opened here and that none is extra.

    Hashes no file: that is for whoever copies them (`runs.private_folder`), and for `check_artifact`.

    Raises one BadArchive, or ManyFindings that lists them all.
    """
    metadata = read_metadata(archive, ref)
    claims = artifact_claims(ref, metadata)
    archive.fetch(claims)
    raise_findings(archive.root / ref.folder, _extra(archive, ref, claims))
    return metadata


def check_artifact(archive: Archive, ref: Ref) -> Metadata:
    """Authenticate one artifact: its metadata, every file's bytes, nothing extra among its source.

    Raises one BadArchive, or ManyFindings that lists them all.
    """
    metadata = read_metadata(archive, ref)
    claims = artifact_claims(ref, metadata)
    archive.fetch(claims)
    findings = check_claims(archive.root, claims)
    raise_findings(archive.root / ref.folder, findings + _extra(archive, ref, claims))
    return metadata


def _extra(archive: Archive, ref: Ref, claims: Sequence[Claim]) -> list[BadArchive]:
    """What lies in an artifact's own folders and is none of its files."""
    found: list[BadArchive] = []
    for folder in sorted({c.path.split("/")[2] for c in claims if c.path.count("/") > 2}):
        found += _unlisted(archive.root, f"{ref.folder}/{folder}", (c.path for c in claims))
    return found


def check_environment(archive: Archive, record: EnvironmentRecord, *, packages: bool) -> None:
    """Check an environment's own files and, where asked, every package that it is built from."""
    claims = environment_claims(record)
    folder = f"environments/{record.folder}"
    every = claims + (package_claims(record) if packages else [])
    archive.fetch(every)
    findings = check_claims(archive.root, every)
    findings += _unlisted(archive.root, folder, [c.path for c in claims] + [f"{folder}/image.json"])
    lock = next((f for f in record.files if f.path == "conda-lock.yml"), None)
    if lock is None or lock.sha256 != record.lock_sha256:
        findings.append(Malformed(archive.root / folder, ["its conda-lock.yml is not the lock it names"]))
    raise_findings(archive.environments / record.folder, findings)


def fetch_image(archive: Archive, image: ImageIdentity) -> None:
    """See that every blob of an image is on this machine."""
    claims = (Claim(*c) for c in oci_layout.claims(archive.images, image))
    archive.fetch([next(claims)])  # the manifest: what the others are stands in it
    archive.fetch(claims)


class _Walk:
    """One pass over the whole archive: what is claimed, by whom, and what is there."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.report = Report()
        self.claims: dict[str, Claim] = {}
        self.read: set[str] = set()  # documents: checked by their own checksum
        self.interrupted: set[str] = set()  # blobs of images whose environment was not published

    def claim(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            known = self.claims.setdefault(claim.path, claim)
            if known.sha256 != claim.sha256:
                self.report.findings.append(
                    DigestMismatch(self.archive.root / claim.path, Digest(claim.sha256), Digest(known.sha256))
                )

    def artifacts(self, refs: Iterable[Ref]) -> None:
        needed: dict[str, Ref] = {}
        for ref in refs:
            self.report.artifacts += 1
            self.read.add(ref.metadata)
            try:
                metadata = read_metadata(self.archive, ref)
            except BadArchive as error:
                self.report.findings.append(error)
                continue
            self.claim(artifact_claims(ref, metadata))
            self.claim(emulator_claims(metadata))
            needed.setdefault(metadata.environment.name, ref)
        there = set(self.archive.environment_names())
        for name in sorted(set(needed) - there):
            self.report.findings.append(Missing(self.archive.environments / name / "image.json"))

    def environments(self) -> None:
        manifests: list[EnvironmentRecord] = []
        for name in self.archive.environment_names():
            self.report.environments += 1
            self.read.add(f"environments/{name}/image.json")
            try:
                record = read_environment(self.archive, name)
            except BadArchive as error:
                self.report.findings.append(error)
                continue
            manifests.append(record)
            self.claim(environment_claims(record))
            self.claim(package_claims(record))
            lock = next((f for f in record.files if f.path == "conda-lock.yml"), None)
            if lock is None or lock.sha256 != record.lock_sha256:
                where = self.archive.environments / name
                self.report.findings.append(Malformed(where, ["its conda-lock.yml is not the lock it names"]))
            try:
                self.claim(Claim(*c) for c in oci_layout.claims(self.archive.images, record.image))
            except BadArchive as error:
                self.report.findings.append(error)
        if manifests or self.archive.images.exists():
            for path in ("images/index.json", "images/oci-layout"):
                self.read.add(path)
            findings, unpublished = oci_layout.check_index(self.archive.images, [m.image for m in manifests])
            self.report.findings += findings
            for image in unpublished:
                for path, _, _ in oci_layout.claims(self.archive.images, image):
                    self.interrupted.add(path)

    def unlisted(self) -> None:
        root = self.archive.root
        absent: set[str] = set()
        for path in list_tree(root):
            if path in self.claims or path in self.read or _LOCKS.fullmatch(path):
                continue
            if path in self.interrupted or re.search(rf"(^|/){re.escape(atomic.STAGING)}", path):
                self.report.leftovers.append(path)
                continue
            if (lost := self.without_metadata(path)) is not None:
                if lost.version in _interrupted(root, lost.folder):
                    self.report.leftovers.append(path)
                elif (missing := Missing(root / lost.metadata)).path not in absent:
                    absent.add(missing.path)
                    self.report.findings.append(missing)
                continue
            if (root / path).is_symlink() or not (root / path).is_file():
                self.report.findings.append(NotRegular(root / path, "a link or a device"))
            else:
                self.report.findings.append(Unlisted(root / path))

    def without_metadata(self, path: str) -> Ref | None:
        """The artifact that `path` would belong to, had that one its metadata."""
        found = re.fullmatch(rf"grid-size-([1-9]\d*)/({NAME.pattern})/([^/]+)(?:/.*)?", path)
        owned = OWNED.fullmatch(found[3]) if found else None
        if not found or not owned or not may_carry(found[2], owned[1]):
            return None
        ref = Ref(int(found[1]), found[2], int(owned[2]), owned[1])
        return None if ref.metadata in self.read else ref


def _interrupted(root: Path, folder: str) -> set[int]:
    """The versions whose publishing was interrupted: their staging folder is still there."""
    return {v for p in (root / folder).iterdir() for v in staged_versions(p.name)}


def verify(archive: Archive, refs: Sequence[Ref] | None = None, *, progress: Progress = SILENT) -> Report:
    """Check every byte of the archive; all findings in one run, none raised.

    Args:
        refs: only these artifacts, and nothing of environments, packages and images; None for all.
    """
    archive.require()
    walk = _Walk(archive)
    progress.step("Reading what the archive says of itself")
    walk.artifacts(archive.refs() if refs is None else refs)
    if refs is None:
        walk.environments()
        walk.unlisted()
    claims = list(walk.claims.values())
    progress.step(f"Hashing {len(claims)} files")
    walk.report.findings += check_claims(archive.root, claims)
    walk.report.files = len(claims) + len(walk.read)
    walk.report.bytes = sum(c.size or 0 for c in claims)
    walk.report.findings.sort(key=lambda e: (e.path, e.kind))
    return walk.report
