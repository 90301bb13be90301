"""Small OCI archives, honest and hostile, as engines load them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping


def layer_of(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """A tar of files by name; a TarInfo is taken as it is, and has no content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def image_of_layer(layer: bytes, **config: object) -> tuple[str, str, dict[str, bytes]]:
    """An image with that one layer: the digests of its config and manifest, and its blobs by digest.

    Args:
        config: fields that replace those of the image's config.
    """
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    blobs: dict[str, bytes] = {}

    def put(data: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        blobs[digest] = data
        return {"digest": digest, "size": len(data), "mediaType": "application/octet-stream"}

    fields = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Entrypoint": ["/run"], "Env": ["A=from the image"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        **config,
    }
    config_entry = put(json.dumps(fields).encode())
    manifest = put(json.dumps({"config": config_entry, "layers": [put(layer)]}).encode())
    return str(config_entry["digest"]), str(manifest["digest"]), blobs


def archive_members(manifest: str, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members of an OCI archive with one image, by name."""
    entry = {"digest": manifest, "size": len(blobs[manifest]), "mediaType": "application/octet-stream"}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    files = {f"blobs/sha256/{digest.removeprefix('sha256:')}": data for digest, data in blobs.items()}
    return {"oci-layout": b"{}", "index.json": index, **files}


def image(members: Mapping[str, bytes], **config: object) -> tuple[str, dict[str, bytes]]:
    """An image with one layer of these files: its config's digest, and the members of its archive."""
    digest, manifest, blobs = image_of_layer(layer_of(members), **config)
    return digest, archive_members(manifest, blobs)


def packed(members: Mapping[str, bytes]) -> list[bytes]:
    """The archive as a tar, in pieces."""
    data = layer_of(members)
    return [data[at : at + 1000] for at in range(0, len(data), 1000)]
