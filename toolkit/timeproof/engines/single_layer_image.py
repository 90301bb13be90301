"""An image of a single layer, made on the fly and put into an engine: equal layers give equal images."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from timeproof.base import strictjson
from timeproof.base.clock import EPOCH_INSTANT
from timeproof.base.digests import Digest
from timeproof.engines.protocol import Engine
from timeproof.errors import EngineFailed
from timeproof.store.oci_layout import MANIFEST, as_members

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_LOADING = threading.Lock()


def provide(engine: Engine, name: str, layer: Path | bytes, digest: Digest, platform: str) -> str:
    """See that the engine holds an image whose only layer is the uncompressed tar `layer`; return its id.

    Args:
        name: such as `timeproof/base`; the layer's digest becomes its tag.
        digest: of the tar, which the caller has checked.
        platform: such as `linux/amd64`.

    Raises EngineFailed, EngineLost.
    """
    system, _, architecture = platform.partition("/")
    config = strictjson.dumps(
        {
            "architecture": architecture,
            "config": {},
            "created": EPOCH_INSTANT,
            "history": [{"created": EPOCH_INSTANT, "created_by": "timeproof"}],
            "os": system,
            "rootfs": {"diff_ids": [str(digest)], "type": "layers"},
        }
    )
    size = len(layer) if isinstance(layer, bytes) else layer.stat().st_size
    manifest = strictjson.dumps(
        {
            "config": _descriptor(_CONFIG, config),
            "layers": [{"digest": str(digest), "mediaType": _LAYER, "size": size}],
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        }
    )
    with _LOADING:
        image = _locate(engine, (manifest, config), digest)
        if image is None:
            tag = f"{name}:{digest.hex[:12]}"
            engine.load(as_members(tag, manifest, _blobs(manifest, config, layer, digest, size)))
            image = _locate(engine, (manifest, config), digest)
    if image is None:
        raise EngineFailed(f"the engine loaded {name}, but knows it by neither of its digests")
    return image


def _descriptor(kind: str, data: bytes) -> dict[str, object]:
    return {"digest": str(Digest.of(data)), "mediaType": kind, "size": len(data)}


def _locate(engine: Engine, documents: Iterable[bytes], layer: Digest) -> str | None:
    for data in documents:
        facts = engine.inspect(str(Digest.of(data)))
        if facts is not None and list(facts.diff_ids) == [str(layer)]:
            return facts.id
    return None


def _blobs(
    manifest: bytes, config: bytes, layer: Path | bytes, digest: Digest, size: int
) -> Iterator[tuple[str, int, BinaryIO]]:
    for data in (manifest, config):
        yield str(Digest.of(data)), len(data), io.BytesIO(data)
    if isinstance(layer, bytes):
        yield str(digest), size, io.BytesIO(layer)
        return
    with layer.open("rb") as stream:
        yield str(digest), size, stream
