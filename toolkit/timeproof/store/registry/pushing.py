"""Whole artifacts sent to an OCI registry: with environment, packages, image and answers, as a ModelPack."""

from __future__ import annotations

import os
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import open_regular
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import BadRequest
from timeproof.store import oci_layout
from timeproof.store.claims import Claim
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import fetch_image, read_environment, read_metadata
from timeproof.store.registry import modelpack
from timeproof.store.registry.client import Pushed, Registry
from timeproof.store.registry.modelpack import Layer
from timeproof.store.registry.reference import TAG
from timeproof.store.schema.v1 import EnvironmentRecord


def default_tag(ref: Ref) -> str:
    """The tag of an artifact: `grid-size-8-pytorch-v1`."""
    return str(ref).replace("/", "-")


def check_tag(tag: str) -> str:
    """Return `tag` if a registry takes it. Raises BadRequest."""
    if not TAG.fullmatch(tag):
        raise BadRequest(f"{tag!r} is no tag", advice="letters, digits, '.', '_' and '-', at most 128")
    return tag


def push_artifact(
    remote: Registry, archive: Archive, ref: Ref, tag: str = "", *, progress: Progress = SILENT
) -> Pushed:
    """Send an artifact with all that its replay needs; what the registry has is not sent again.

    Its environment's image is sent as an image, too, for `--registry`: its blobs are the same.

    Raises BadArchive where a file is not the recorded one; RemoteFailed / AccessDenied.
    """
    tag = check_tag(tag or default_tag(ref))
    metadata = read_metadata(archive, ref)
    record = read_environment(archive, metadata.environment.name)
    progress.step(f"Reading {ref}")
    fetch_image(archive, record.image)
    image = list(oci_layout.claims(archive.images, record.image))
    files = modelpack.closure(ref, metadata, record, image)
    archive.fetch(claim for claim, _ in files.values())
    pushed = remote.push(archive.images, record.image, record.folder, progress=progress)
    layers = [_layer_of(archive.root, claim, kind) for claim, kind in files.values()]
    documents = _documents(archive, ref, record)
    layers += [modelpack.document_layer(path, data) for path, data in documents.items()]
    manifest, config = modelpack.write(ref, metadata, layers)
    progress.step(f"Pushing {ref} to {remote.repository}")
    sent = remote.send_blobs(
        {x.digest: x.path for x in layers if x.path in files}, archive.root, progress=progress
    )
    with atomic.Staging(archive.images, "push") as staging:
        small = {str(Digest.of(data)): data for data in (*documents.values(), config)}
        for digest, data in small.items():
            (staging.path / digest.partition(":")[2]).write_bytes(data)
        sent += remote.send_blobs({d: d.partition(":")[2] for d in small}, staging.path)
    digest = remote.send_manifest(tag, manifest)
    count = len({layer.digest for layer in layers}) + 1
    total = pushed.bytes + sum(sent)
    return Pushed(f"{remote.repository}@{digest}", tag, pushed.sent + len(sent), count - len(sent), total)


def _documents(archive: Archive, ref: Ref, record: EnvironmentRecord) -> dict[str, bytes]:
    """The documents of a replay, by their paths, and what makes a layout of the image's blobs."""
    paths = (ref.metadata, f"environments/{record.folder}/image.json")
    documents = {}
    for path in paths:
        with open_regular(archive.root, path) as stream:
            documents[path] = stream.read(LIMITS.json_bytes)
    documents["images/oci-layout"] = oci_layout.LAYOUT
    index = oci_layout.with_image(None, archive.images, record.image, "images/index.json")
    return {**documents, "images/index.json": index}


def _layer_of(root: Path, claim: Claim, kind: str) -> Layer:
    size = claim.size if claim.size is not None else os.stat(root / claim.path).st_size
    return Layer(claim.path, str(Digest(claim.sha256)), size, kind)
