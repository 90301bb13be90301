"""The documents of an archive, read and checked, and the claims that they make of files. Loads no model.

`read_artifact` and `check_environment` are what is asked before anything is loaded or built.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import list_tree, open_regular, open_within
from timeproof.errors import BadArchive, Limit, Malformed, Missing, Unlisted, Unreadable, raise_findings
from timeproof.store import oci_layout
from timeproof.store.claims import Claim, check_claims
from timeproof.store.layout import Archive, Ref
from timeproof.store.package_paths import path_in_archive
from timeproof.store.schema.document import Document
from timeproof.store.schema.v1 import EnvironmentRecord, ImageIdentity, Metadata

_D = TypeVar("_D", bound=Document)


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
    described = Ref(metadata.grid_size, metadata.framework.name, metadata.version)
    if described != ref:
        raise Malformed(
            archive.root / ref.metadata, [f"it describes {described}, and lies where {ref} belongs"]
        )
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
    return [Claim(path_in_archive(Digest(e.sha256), e.file), e.size, e.sha256) for e in metadata.emulators]


def environment_claims(record: EnvironmentRecord) -> list[Claim]:
    return [Claim(f"environments/{record.folder}/{f.path}", f.size, f.sha256) for f in record.files]


def package_claims(record: EnvironmentRecord) -> list[Claim]:
    return [Claim(path_in_archive(Digest(p.sha256), p.file), p.size, p.sha256) for p in record.packages]


def _unlisted(root: Path, folder: str, listed: Iterable[str]) -> list[BadArchive]:
    base = root / folder
    if not base.is_dir() or base.is_symlink():
        return []
    names = set(listed)
    return [Unlisted(root / folder / p) for p in list_tree(base) if f"{folder}/{p}" not in names]


def read_artifact(archive: Archive, ref: Ref) -> Metadata:
    """Read an artifact's metadata, and see that its files can be opened here and that none is extra.

    Hashes no file: that is for whoever copies them (`runs.private_folder`), and for `verify`.

    Raises one BadArchive, or ManyFindings that lists them all.
    """
    metadata = read_metadata(archive, ref)
    claims = artifact_claims(ref, metadata)
    archive.fetch(claims)
    raise_findings(archive.root / ref.folder, unlisted_files(archive, ref, claims))
    return metadata


def unlisted_files(archive: Archive, ref: Ref, claims: Sequence[Claim]) -> list[BadArchive]:
    """What lies in an artifact's own folders and is none of its files."""
    findings: list[BadArchive] = []
    for folder in sorted({c.path.split("/")[2] for c in claims if c.path.count("/") > 2}):
        findings += _unlisted(archive.root, f"{ref.folder}/{folder}", (c.path for c in claims))
    return findings


def check_environment(archive: Archive, record: EnvironmentRecord, *, packages: bool) -> None:
    """Check an environment's own files and, where asked, every package that it is built from."""
    claims = environment_claims(record)
    folder = f"environments/{record.folder}"
    every = claims + (package_claims(record) if packages else [])
    archive.fetch(every)
    findings = check_claims(archive.root, every)
    findings += _unlisted(archive.root, folder, [c.path for c in claims] + [f"{folder}/image.json"])
    try:
        check_lock(archive, record)
    except Malformed as error:
        findings.append(error)
    raise_findings(archive.environments / record.folder, findings)


def check_lock(archive: Archive, record: EnvironmentRecord) -> None:
    """Raise Malformed unless the lock among an environment's files is the one that its record names."""
    lock = next((f for f in record.files if f.path == "conda-lock.yml"), None)
    if lock is None or lock.sha256 != record.lock_sha256:
        folder = archive.environments / record.folder
        raise Malformed(folder, ["its conda-lock.yml is not the lock it names"])


def fetch_lock(archive: Archive, name: str) -> None:
    """See that an environment's lock is on this machine, with its other files."""
    if not (archive.environments / name / "conda-lock.yml").is_file():
        archive.fetch(environment_claims(read_environment(archive, name)))


def fetch_image(archive: Archive, image: ImageIdentity) -> None:
    """See that every blob of an image is on this machine."""
    claims = oci_layout.claims(archive.images, image)
    archive.fetch([next(claims)])  # the manifest: what the others are stands in it
    archive.fetch(claims)
