"""Checking bytes against what the archive says of them. Loads no model, unpacks no image.

`check_artifact` and `check_environment` are what a replay asks before anything is loaded; `verify`
checks the whole archive, finds everything in one run, and reads files on all cores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import list_tree
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import (
    BadArchive,
    DigestMismatch,
    Malformed,
    Missing,
    NotRegular,
    Unlisted,
)
from timeproof.store import oci_layout
from timeproof.store.claims import Claim, check_claims
from timeproof.store.layout import NAME, Archive, Ref, may_carry
from timeproof.store.publish import OWNED, staged_versions
from timeproof.store.read import (
    artifact_claims,
    emulator_claims,
    environment_claims,
    package_claims,
    read_environment,
    read_metadata,
)
from timeproof.store.schema.document import Document
from timeproof.store.schema.v1 import EnvironmentRecord

_D = TypeVar("_D", bound=Document)
# The locks that writers leave; any other `.lock` is a file like all others.
_LOCKS = re.compile(
    rf"(?:grid-size-[1-9]\d*/{NAME.pattern}|environments|images)/\.lock|environments/\.[^/]+\.lock"
)


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
                self.claim(oci_layout.claims(self.archive.images, record.image))
            except BadArchive as error:
                self.report.findings.append(error)
        if manifests or self.archive.images.exists():
            for path in ("images/index.json", "images/oci-layout"):
                self.read.add(path)
            findings, unpublished = oci_layout.check_index(self.archive.images, [m.image for m in manifests])
            self.report.findings += findings
            for image in unpublished:
                for claim in oci_layout.claims(self.archive.images, image):
                    self.interrupted.add(claim.path)

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
    for finding in walk.report.findings:
        finding.path = archive.public_path(finding.path)
    walk.report.findings.sort(key=lambda e: (e.path, e.kind))
    return walk.report
