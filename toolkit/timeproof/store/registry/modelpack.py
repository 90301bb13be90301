"""An artifact as the CNCF's ModelPack: which files are layers of which kind, its manifest and its config.

Values in, bytes out, and back; no registry here. Every layer is one file as it is (`….raw`), under its path
in the archive: any tool for such artifacts unpacks an archive. Equal files give an equal manifest.
Follows github.com/modelpack/model-spec, docs/spec.md and docs/config.md, of June 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import orjson

from timeproof.base import strictjson
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import check_collisions, check_relative
from timeproof.errors import BadArchive, BadRequest, Limit, NotAModelPack
from timeproof.store.claims import Claim
from timeproof.store.layout import Ref
from timeproof.store.oci_layout import MANIFEST
from timeproof.store.read import (
    artifact_claims,
    emulator_claims,
    environment_claims,
    package_claims,
)
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata

ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
CONFIG = "application/vnd.cncf.model.config.v1+json"
PATH = "org.cncf.model.filepath"
_FACTS = "org.cncf.model.file.metadata+json"
_UNTESTED = "org.cncf.model.file.mediatype.untested"
_TITLE = "org.opencontainers.image.title"  # by which `oras pull` names a file
_LAYER = "application/vnd.cncf.model.{}.v1.raw"
_WEIGHT, _SETTING, _DOC = _LAYER.format("weight"), _LAYER.format("weight.config"), _LAYER.format("doc")
_CODE, _DATA = _LAYER.format("code"), _LAYER.format("dataset")
_OF_ROLE = {"source": _CODE, "reference": _DATA, "witness": _DATA}
_FORMATS = {"pth": "pt"}  # how the specification calls them


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of an archive."""

    path: str  # relative to the archive
    digest: str  # sha256:…
    size: int  # bytes
    kind: str = _CODE  # the media type


@dataclass(frozen=True, slots=True)
class Packed:
    """A manifest that was read: its layers by their paths."""

    digest: str
    layers: Mapping[str, Layer]


def closure(
    ref: Ref, metadata: Metadata, environment: EnvironmentRecord, image: Iterable[Claim]
) -> dict[str, tuple[Claim, str]]:
    """Every file that a replay of an artifact needs, but the documents: path → claim and media type.

    Args:
        image: the claims of the environment's image.
    """
    files: dict[str, tuple[Claim, str]] = {}
    roles = {f"{ref.folder}/{f.path}": f.role for f in metadata.files}
    for claim in artifact_claims(ref, metadata):
        files[claim.path] = claim, _OF_ROLE.get(roles[claim.path], _WEIGHT)
    shared = [*environment_claims(environment), *package_claims(environment), *emulator_claims(metadata)]
    for claim in [*shared, *image]:
        files[claim.path] = claim, _DOC if claim.path.endswith("/REPLAY.md") else _CODE
    return files


def document_layer(path: str, data: bytes) -> Layer:
    """The layer of a document: metadata, image.json, or what an image layout has beside its blobs."""
    kind = _SETTING if path.startswith("grid-size-") else _CODE
    return Layer(path, str(Digest.of(data)), len(data), kind)


def write(ref: Ref, metadata: Metadata, layers: Sequence[Layer]) -> tuple[bytes, bytes]:
    """Spell the manifest and the config of an artifact. Equal layers give equal bytes."""
    ordered = sorted(layers, key=lambda layer: (layer.kind != _WEIGHT, layer.path))
    suffix = PurePosixPath(metadata.model.file).suffix.lstrip(".")
    config = strictjson.dumps(
        {
            "descriptor": {
                "createdAt": metadata.created,
                "name": ref.folder,
                "version": f"v{ref.version}",
                "title": f"{metadata.framework.title or metadata.framework.name}, sealed by timeproof",
            },
            "config": {"format": _FORMATS.get(suffix, suffix)},
            "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in ordered]},
        }
    )
    manifest = strictjson.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": ARTIFACT,
            "config": {"mediaType": CONFIG, "digest": str(Digest.of(config)), "size": len(config)},
            "layers": [_describe(layer) for layer in ordered],
            "annotations": {
                "org.opencontainers.image.created": metadata.created,
                "timeproof.artifact": str(ref),
                "timeproof.environment": metadata.environment.name,
            },
        }
    )
    if len(manifest) > LIMITS.manifest_bytes or len(ordered) > LIMITS.pack_layers:
        raise BadRequest(
            f"{ref} has {len(ordered)} files, more than a registry's manifest holds",
            advice="copy the archive's folder, or publish it into a bucket",
        )
    return manifest, config


def _describe(layer: Layer) -> dict[str, Any]:
    facts = {
        "name": layer.path.rpartition("/")[2],
        "mode": 0o644,
        "uid": 0,
        "gid": 0,
        "size": layer.size,
        "mtime": "1980-01-01T00:00:00Z",
        "typeflag": ord("0"),  # a regular file
    }
    return {
        "mediaType": layer.kind,
        "digest": layer.digest,
        "size": layer.size,
        "annotations": {
            PATH: layer.path,
            _TITLE: layer.path,
            _FACTS: orjson.dumps(facts).decode(),
            _UNTESTED: "false",
        },
    }


def read(data: bytes, reference: str) -> Packed:
    """Read a manifest, as strictly as a document of the archive.

    Raises:
        NotAModelPack: it is an image, an index, another artifact, or one that other tools packed.
        UnsafePath / Limit: a layer's path leaves the archive, or it declares more than it may.
    """
    try:
        value = strictjson.loads(data, reference)
    except Limit:
        raise
    except BadArchive as error:
        raise NotAModelPack(reference, f"its manifest is no JSON: {error.message}") from error
    _require_kind(value, reference)
    layers: dict[str, Layer] = {}
    try:
        if len(value["layers"]) > LIMITS.pack_layers:
            raise Limit(reference, f"{len(value['layers'])} layers, at most {LIMITS.pack_layers}")
        for entry in value["layers"]:
            layer = _layer(entry)
            if layer.path in layers:
                raise ValueError(f"two layers are {layer.path}")
            layers[layer.path] = layer
    except (KeyError, TypeError, ValueError) as error:
        raise NotAModelPack(
            reference, f"its layers are not single files of an archive ({type(error).__name__}: {error})"
        ) from error
    check_collisions(layers)
    total = sum({layer.digest: layer.size for layer in layers.values()}.values())
    if total > LIMITS.image_bytes:
        raise Limit(reference, f"{total} bytes of layers, at most {LIMITS.image_bytes}")
    return Packed(str(Digest.of(data)), layers)


def _require_kind(value: Any, reference: str) -> None:
    kind = value.get("mediaType", MANIFEST) if isinstance(value, dict) else None
    if kind != MANIFEST:
        raise NotAModelPack(reference, f"it is {str(kind)[:100]!r}, not the manifest of one artifact")
    config = value.get("config")
    config_kind = config.get("mediaType") if isinstance(config, dict) else None
    if value.get("artifactType") != ARTIFACT or config_kind != CONFIG:
        image = "image" in str(config_kind)
        raise NotAModelPack(
            reference,
            "it is a container image" if image else f"it is a {str(value.get('artifactType'))[:100]!r}",
            advice="images are pulled by 'timeproof replay --registry'; name an artifact" if image else "",
        )


def _layer(entry: Mapping[str, Any]) -> Layer:
    """Read one layer. Raises KeyError, TypeError, ValueError, UnsafePath and Limit."""
    kind, digest, size = entry["mediaType"], entry["digest"], entry["size"]
    path = entry["annotations"][PATH]
    if not (isinstance(kind, str) and isinstance(digest, str) and isinstance(path, str)):
        raise TypeError("a field is no text")
    if not kind.endswith(".raw"):
        raise ValueError(f"{kind} is packed")
    if not isinstance(size, int) or isinstance(size, bool):
        raise TypeError("a size is no number")
    if not 0 <= size <= LIMITS.layer_bytes:
        raise Limit(path, f"{size} bytes, at most {LIMITS.layer_bytes}")
    return Layer(check_relative(path), str(Digest.parse(digest)), size, kind)
