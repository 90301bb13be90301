"""The OCI image layout under `images/`: one store, shared by all environments. No engine here.

`index.json` is derived: it lists exactly the manifests that the environments' records name, in
order, so it can be checked, and made anew, from them. Layout as in the OCI image specification 1.1.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from timeproof.base import atomic, strictjson
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import open_regular
from timeproof.errors import BadArchive, DigestMismatch, Limit, Malformed, Missing
from timeproof.store.claims import Claim
from timeproof.store.schema.v1 import ImageIdentity

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_BLOB = re.compile(r"images/blobs/sha256/([0-9a-f]{64})")


def blob(digest: str) -> str:
    """A blob's path, relative to the layout."""
    return f"blobs/sha256/{Digest.parse(digest).hex}"


def digest_in_path(path: str) -> Digest | None:
    """The digest that a path of the archive promises, where it is a blob's place; else None."""
    match = _BLOB.fullmatch(path)
    return Digest(match[1]) if match else None


def read_blob(layout: Path, digest: str) -> dict[str, Any]:
    """Read a small JSON blob, after its digest was checked."""
    path = blob(digest)
    with open_regular(layout, path) as stream:
        data = stream.read(LIMITS.json_bytes + 1)
    if len(data) > LIMITS.json_bytes:
        raise Limit(layout / path, f"more than {LIMITS.json_bytes} bytes of JSON")
    if (actual := Digest.of(data)) != Digest.parse(digest):
        raise DigestMismatch(layout / path, digest, actual)
    value = strictjson.loads(data, layout / path)
    if not isinstance(value, dict):
        raise Malformed(layout / path, ["it is not an object"])
    return value


def read_identity(layout: Path, manifest: str) -> ImageIdentity:
    """Read the identity of the image with that manifest digest."""
    head = read_blob(layout, manifest)
    try:
        config_digest = str(head["config"]["digest"])
        config = read_blob(layout, config_digest)
        platform = f"{config['os']}/{config['architecture']}"
        if config.get("variant"):
            platform += f"/{config['variant']}"
        return ImageIdentity(
            manifest=manifest,
            config=config_digest,
            diff_ids=list(config["rootfs"]["diff_ids"]),
            platform=platform,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(layout / blob(manifest), [f"not an image manifest: {error}"]) from error


def descriptors(layout: Path, image: ImageIdentity) -> list[tuple[str, int]]:
    """Every blob of an image but its manifest, as (digest, size in bytes). Checks manifest and config."""
    head = read_blob(layout, image.manifest)
    try:
        blobs = [(str(d["digest"]), int(d["size"])) for d in [head["config"], *head["layers"]]]
        for digest, _ in blobs:
            Digest.parse(digest)
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(layout / blob(image.manifest), [f"not an image manifest: {error}"]) from error
    if blobs[0][0] != image.config:
        raise Malformed(layout / blob(image.manifest), [f"its config is {blobs[0][0]}, not {image.config}"])
    return blobs


def claims(layout: Path, image: ImageIdentity) -> Iterator[Claim]:
    """What an image says of its blobs, by their paths below the archive; the manifest's own comes first."""
    yield Claim(f"images/{blob(image.manifest)}", None, Digest.parse(image.manifest).hex)
    for digest, size in descriptors(layout, image):
        yield Claim(f"images/{blob(digest)}", size, Digest.parse(digest).hex)


def _entry(layout: Path, image: ImageIdentity) -> dict[str, Any]:
    """How `index.json` lists an image."""
    system, architecture, *variant = image.platform.split("/")
    platform = {"architecture": architecture, "os": system}
    if variant:
        platform["variant"] = variant[0]
    size = (layout / blob(image.manifest)).stat().st_size
    return {"mediaType": MANIFEST, "digest": image.manifest, "size": size, "platform": platform}


def _index(layout: Path, images: Iterable[ImageIdentity]) -> bytes:
    return _spell_index(_entry(layout, image) for image in images)


def _spell_index(entries: Iterable[dict[str, Any]]) -> bytes:
    manifests = sorted({e["digest"]: e for e in entries}.values(), key=lambda e: str(e["digest"]))
    return strictjson.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests,
        }
    )


def with_image(index: bytes | None, layout: Path, image: ImageIdentity, name: object) -> bytes:
    """Add an image to the bytes of an `index.json`, or begin one.

    Args:
        layout: where the image's manifest lies.
        name: what errors call the index.

    Raises Malformed where the index is none.
    """
    try:
        listed = [] if index is None else list(strictjson.loads(index, Path(str(name)))["manifests"])
        return _spell_index([*listed, _entry(layout, image)])
    except (KeyError, TypeError) as error:
        raise Malformed(name, [f"not an image index: {error}"]) from error


def _read_index(layout: Path) -> tuple[bytes, list[str]]:
    """The bytes of `index.json`, and the manifests that it lists. Raises BadArchive, KeyError, TypeError."""
    with open_regular(layout, "index.json") as stream:
        data = stream.read(LIMITS.json_bytes)
    return data, [str(d["digest"]) for d in strictjson.loads(data, layout / "index.json")["manifests"]]


def check_index(layout: Path, images: Sequence[ImageIdentity]) -> list[BadArchive]:
    """Check `index.json` and `oci-layout` against the images that must be listed; return the findings.

    Others may be listed beyond those: of builds that did not, or not yet, publish their environment.
    """
    try:
        with open_regular(layout, "oci-layout") as stream:
            data = stream.read(1024)
        if data != LAYOUT:
            raise DigestMismatch(layout / "oci-layout", Digest.of(LAYOUT), Digest.of(data))
        data, listed = _read_index(layout)
    except BadArchive as error:
        return [error]
    except (KeyError, TypeError) as error:
        return [Malformed(layout / "index.json", [f"not an image index: {error}"])]
    required = {image.manifest for image in images}
    try:
        extra = [read_identity(layout, digest) for digest in listed if digest not in required]
        expected = _index(layout, [*images, *extra])
    except (BadArchive, ValueError, OSError) as error:
        return [Malformed(layout / "index.json", [f"it lists what is not there: {error}"])]
    if data != expected:
        return [DigestMismatch(layout / "index.json", Digest.of(expected), Digest.of(data))]
    return []


def _listed(layout: Path) -> list[ImageIdentity]:
    """The images that `index.json` lists now, of those that are whole enough to be listed again."""
    images = []
    try:
        for digest in _read_index(layout)[1]:
            with suppress(BadArchive, ValueError, OSError):
                images.append(read_identity(layout, digest))
    except (BadArchive, KeyError, TypeError):  # `verify` says what is wrong with it; it is made anew
        pass
    return images


def add(layout: Path, exported: Path, manifest: str, named: Sequence[ImageIdentity]) -> ImageIdentity:
    """Move an exported image's blobs into the shared layout, and list it beside all that are listed.

    What is listed is read under the layout's lock, so that no image is lost where several are added at once.

    Args:
        exported: an OCI layout folder on the same file system; it is emptied.
        named: the images that the archive's environments name: they are listed whatever the index says.

    Raises DigestMismatch where an exported blob is not what its name says.
    """
    blobs = layout / "blobs" / "sha256"
    with atomic.storage(layout), atomic.lock(layout):
        atomic.make_folder(blobs)
        image = read_identity(exported, manifest)
        for digest in [manifest, *(d for d, _ in descriptors(exported, image))]:
            source, target = exported / blob(digest), layout / blob(digest)
            if target.exists():
                continue
            if not source.exists():
                raise Missing(source)
            with source.open("rb", buffering=0) as stream:
                actual, _ = Digest.of_stream(stream)
                os.fsync(stream.fileno())
            if actual != Digest.parse(digest):
                raise DigestMismatch(source, digest, actual)
            os.chmod(source, 0o644)
            os.rename(source, target)
        atomic.sync_folders_up(blobs, layout.parent)
        atomic.write(layout / "oci-layout", LAYOUT)
        atomic.write(layout / "index.json", _index(layout, [*_listed(layout), *named, image]))
    return image


def as_tar(layout: Path, image: ImageIdentity, name: str) -> Iterator[bytes]:
    """Stream one image as an OCI archive that an engine loads under `name`, every blob checked."""
    members = [(image.manifest, -1), *descriptors(layout, image)]

    def blobs() -> Iterator[tuple[str, int, BinaryIO]]:
        for digest in dict.fromkeys(d for d, _ in members):
            with open_regular(layout, blob(digest)) as stream:
                actual, size = Digest.of_stream(stream)
                if actual != Digest.parse(digest):
                    raise DigestMismatch(layout / blob(digest), digest, actual)
                stream.seek(0)
                yield digest, size, stream

    with open_regular(layout, blob(image.manifest)) as stream:
        manifest = stream.read(LIMITS.json_bytes)
    yield from as_members(name, manifest, blobs())


def as_members(name: str, manifest: bytes, blobs: Iterable[tuple[str, int, BinaryIO]]) -> Iterator[bytes]:
    """Stream an OCI archive that an engine loads under `name`; `blobs` are (digest, size, content)."""
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": str(Digest.of(manifest)),
                "size": len(manifest),
                "annotations": {
                    "io.containerd.image.name": f"docker.io/{name}",
                    "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1],
                },
            }
        ],
    }
    for path, data in (("oci-layout", LAYOUT), ("index.json", strictjson.dumps(index))):
        yield from _member(path, len(data), io.BytesIO(data))
    for digest, size, stream in blobs:
        yield from _member(blob(digest), size, stream)
    yield b"\0" * 1024


def _member(path: str, size: int, stream: BinaryIO) -> Iterator[bytes]:
    info = tarfile.TarInfo(path)
    info.size = size
    yield info.tobuf(tarfile.PAX_FORMAT)
    remaining = size
    while remaining and (chunk := stream.read(min(remaining, 1 << 20))):
        remaining -= len(chunk)
        yield chunk
    yield b"\0" * (-size % 512)
