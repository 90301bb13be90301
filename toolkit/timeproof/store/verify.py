"""Checking a whole archive: every byte against what its documents say. Loads no model, unpacks no image.

All findings are made in one run, and files are read on all cores. Writers may work meanwhile.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import list_tree
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import BadArchive, DigestMismatch, Missing, NotRegular, Unlisted
from timeproof.store import oci_layout
from timeproof.store.claims import Claim, check_claims
from timeproof.store.layout import NAME, Archive, Ref, may_carry
from timeproof.store.package_paths import digest_in_path
from timeproof.store.read import (
    artifact_claims,
    check_lock,
    emulator_claims,
    environment_claims,
    package_claims,
    read_environment,
    read_metadata,
    unlisted_files,
)
from timeproof.store.schema.v1 import EnvironmentRecord, ImageIdentity
from timeproof.store.versions import OWNED, staged_versions

# The locks that writers leave; any other `.lock` is a file like all others.
_LOCKS = re.compile(
    rf"(?:grid-size-[1-9]\d*/{NAME.pattern}|environments|images)/\.lock|environments/\.[^/]+\.lock"
)


_STAGING = re.compile(rf"(^|/){re.escape(atomic.STAGING)}")


@dataclass(slots=True)
class Report:
    """What `verify` found."""

    files: int = 0
    bytes: int = 0
    artifacts: int = 0
    environments: int = 0
    findings: list[BadArchive] = field(default_factory=list)
    # Of writers that were interrupted or still work, and packages and images that no environment names yet:
    # harmless.
    leftovers: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings


class _Walk:
    """One pass over the whole archive: what is claimed, by whom, and what is there.

    Writers may work meanwhile. So the files are listed first and the documents are read after that: what was
    published by then is claimed, and of what is not, the writer's own mark is looked for before it is judged.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.report = Report()
        self.claims: dict[str, Claim] = {}
        self.read: set[str] = set()  # documents: checked by their own checksum
        self.unnamed: list[Claim] = []  # packages and blobs that no document names (yet)

    def claim(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            first = self.claims.setdefault(claim.path, claim)
            if first.sha256 != claim.sha256:
                self.report.findings.append(
                    DigestMismatch(self.archive.root / claim.path, Digest(claim.sha256), Digest(first.sha256))
                )

    def artifacts(self, refs: Iterable[Ref], *, alone: bool) -> None:
        """Claim the files of artifacts.

        Args:
            alone: nothing else of the archive is looked at, so what is extra in their folders is named here.
        """
        needed: dict[str, Ref] = {}
        for ref in refs:
            self.report.artifacts += 1
            self.read.add(ref.metadata)
            try:
                metadata = read_metadata(self.archive, ref)
            except BadArchive as error:
                self.report.findings.append(error)
                continue
            claims = artifact_claims(ref, metadata)
            self.claim(claims)
            if alone:
                self.report.findings += unlisted_files(self.archive, ref, claims)
            self.claim(emulator_claims(metadata))
            needed.setdefault(metadata.environment.name, ref)
        for name in sorted(set(needed) - set(self.archive.environment_names())):
            self.report.findings.append(Missing(self.archive.environments / name / "image.json"))

    def environments(self) -> None:
        images: list[ImageIdentity] = []
        for name in self.archive.environment_names():
            self.report.environments += 1
            self.read.add(f"environments/{name}/image.json")
            try:
                record = read_environment(self.archive, name)
            except BadArchive as error:
                self.report.findings.append(error)
                continue
            images.append(record.image)
            self._environment(record)
        # Before the first image is published there is no index.
        if images or os.path.lexists(self.archive.images / "index.json"):
            self.read |= {"images/index.json", "images/oci-layout"}
            self.report.findings += oci_layout.check_index(self.archive.images, images)

    def _environment(self, record: EnvironmentRecord) -> None:
        self.claim(environment_claims(record))
        self.claim(package_claims(record))
        try:
            check_lock(self.archive, record)
        except BadArchive as error:
            self.report.findings.append(error)
        try:
            self.claim(oci_layout.claims(self.archive.images, record.image))
        except BadArchive as error:
            self.report.findings.append(error)

    def unlisted(self, paths: Iterable[str]) -> None:
        """Judge the files that no document names."""
        paths = dict.fromkeys(paths)
        staged = _staged_versions(paths)
        absent: set[str] = set()  # metadata that was called missing
        for path in paths:
            if path in self.claims or path in self.read or _LOCKS.fullmatch(path):
                continue
            digest = digest_in_path(path) or oci_layout.digest_in_path(path)
            if digest is not None:
                self.unnamed.append(Claim(path, None, digest.hex))
            elif (
                path == "images/oci-layout"
                or _STAGING.search(path)
                or self._unfinished_environment(path, paths)
            ):
                self.report.leftovers.append(path)
            elif (ref := self._unpublished(path)) is not None:
                self._judge_unpublished(path, ref, staged, absent)
            else:
                self._judge_stranger(path)

    def _unfinished_environment(self, path: str, paths: Collection[str]) -> bool:
        """Whether a file is of an environment that somebody put into a bucket, and has not published."""
        top, _, rest = path.partition("/")
        folder = rest.partition("/")[0]
        mark = f"environments/{atomic.STAGING}{folder}"
        return top == "environments" and f"{top}/{folder}/image.json" not in self.read and mark in paths

    def _judge_unpublished(self, path: str, ref: Ref, staged: _Staged, absent: set[str]) -> None:
        """Judge a file of an artifact whose metadata was not there when documents were read."""
        root = self.archive.root
        metadata = root / ref.metadata
        if metadata.exists():
            return  # published meanwhile
        if ref.version in staged.get(ref.folder, ()) or ref.version in _staged_now(root, ref.folder):
            self.report.leftovers.append(path)
        elif metadata.exists() or not os.path.lexists(root / path):
            return  # published, or taken back, between the two looks
        elif ref.metadata not in absent:
            absent.add(ref.metadata)
            self.report.findings.append(Missing(metadata))

    def _judge_stranger(self, path: str) -> None:
        file = self.archive.root / path
        if not os.path.lexists(file):
            return  # removed meanwhile
        if file.is_symlink() or not file.is_file():
            self.report.findings.append(NotRegular(file, "a link or a device"))
        else:
            self.report.findings.append(Unlisted(file))

    def _unpublished(self, path: str) -> Ref | None:
        """The artifact that `path` would belong to, had that one its metadata."""
        match = re.fullmatch(rf"grid-size-([1-9]\d*)/({NAME.pattern})/([^/]+)(?:/.*)?", path)
        owned = OWNED.fullmatch(match[3]) if match else None
        if not match or not owned or not may_carry(match[2], owned[1]):
            return None
        ref = Ref(int(match[1]), match[2], int(owned[2]), owned[1])
        return None if ref.metadata in self.read else ref

    def check(self) -> None:
        """Hash everything that is claimed, and what lies under its digest though nothing names it."""
        root, report = self.archive.root, self.report
        claims = list(self.claims.values())
        report.findings += check_claims(root, claims)
        damaged = {finding.path: finding for finding in check_claims(root, self.unnamed)}
        for claim in self.unnamed:
            finding = damaged.get(str(root / claim.path))
            if finding is None:
                report.leftovers.append(claim.path)
            elif not isinstance(finding, Missing):  # it was removed meanwhile
                report.findings.append(finding)
        report.files = len(claims) + len(self.read)
        report.bytes = sum(claim.size or 0 for claim in claims)


_Staged = Mapping[str, Collection[int]]  # folder of artifacts → versions that are being made, or were


def _staged_versions(paths: Iterable[str]) -> _Staged:
    versions: dict[str, set[int]] = {}
    for path in paths:
        folder, _, name = path.partition("/.")
        if staged := staged_versions(f".{name}"):
            versions.setdefault(folder, set()).update(staged)
    return versions


def _staged_now(root: Path, folder: str) -> set[int]:
    try:
        return {version for name in os.listdir(root / folder) for version in staged_versions(name)}
    except FileNotFoundError:
        return set()


def verify(archive: Archive, refs: Sequence[Ref] | None = None, *, progress: Progress = SILENT) -> Report:
    """Check every byte of the archive; all findings in one run, none raised.

    Args:
        refs: only these artifacts, and nothing of environments, packages and images; None for all.
    """
    archive.require()
    walk = _Walk(archive)
    progress.step("Reading what the archive says of itself")
    paths = list_tree(archive.root) if refs is None else []
    walk.artifacts(archive.refs() if refs is None else refs, alone=refs is not None)
    if refs is None:
        walk.environments()
        walk.unlisted(paths)
    progress.step(f"Hashing {len(walk.claims) + len(walk.unnamed)} files")
    walk.check()
    report = walk.report
    for finding in report.findings:
        finding.path = archive.public_path(finding.path)
    report.findings.sort(key=lambda finding: (finding.path, finding.kind))
    report.leftovers.sort()
    return report
