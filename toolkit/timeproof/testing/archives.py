"""A small archive with one environment, made through the real writer, without an engine.

An engine that believes its image to be there (`fake_engine`) and the real probe on this machine
(`local_probe`) seal and replay models in it: all but the container.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import list_tree
from timeproof.engines.protocol import ImageFacts
from timeproof.environments.lock.document import Lock
from timeproof.images import recipe
from timeproof.images.ingredients import Ingredients
from timeproof.images.probe_files import gather_probe, pack_probe
from timeproof.sealing.flow import Archived, Request, archive_model
from timeproof.store import oci_layout
from timeproof.store import publish as writer
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.schema.v1 import EnvironmentRecord, ImageIdentity, PackageEntry
from timeproof.testing import local_probe
from timeproof.testing.fake_engine import FakeEngine

LOCK = (
    Lock(packages=(), platforms=("linux-64",), channels=(), sources=(), content_hash=(), custom=())
    .with_probe(Digest.of(pack_probe(gather_probe({}))))
    .to_bytes()
)
LOCK_SHA256 = Digest.of(LOCK).hex
ENVIRONMENT = f"small-{LOCK_SHA256[:12]}"


def image_parts(layer: bytes = b"layer two, a little longer") -> tuple[ImageIdentity, dict[str, bytes]]:
    """A tiny OCI image: its identity, and its blobs by digest. Another `layer` makes another image."""
    layers = [b"layer one", layer]
    diff_ids = [str(Digest.of(b"unpacked " + layer)) for layer in layers]
    config = json.dumps(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": oci_layout.MANIFEST,
            "config": {"digest": str(Digest.of(config)), "size": len(config)},
            "layers": [{"digest": str(Digest.of(layer)), "size": len(layer)} for layer in layers],
        }
    ).encode()
    blobs = {str(Digest.of(b)): b for b in (*layers, config, manifest)}
    identity = ImageIdentity(
        manifest=str(Digest.of(manifest)),
        config=str(Digest.of(config)),
        diff_ids=diff_ids,
        platform="linux/amd64",
    )
    return identity, blobs


IMAGE, BLOBS = image_parts()


def export(folder: Path, blobs: Mapping[str, bytes] = BLOBS) -> Path:
    """Lay a tiny image out as a builder would."""
    (folder / "blobs/sha256").mkdir(parents=True)
    for digest, data in blobs.items():
        (folder / oci_layout.blob(digest)).write_bytes(data)
    return folder


def publish_environment(archive: Archive, name: str = "small", wheel: str = "thing-1.0") -> EnvironmentRecord:
    """Publish a small environment: three packages that hold nothing, a real recipe, an image.

    Args:
        wheel: NAME-VERSION of the one wheel in it.
    """
    lock = LOCK if (name, wheel) == ("small", "thing-1.0") else LOCK + f"# {name} {wheel}\n".encode()
    store = PackageStore(archive.packages)
    packages = []
    for kind, file in (
        ("base", "base.tar"),
        ("conda-part", "conda-part.tar"),
        ("wheel", f"{wheel}-py3-none-any.whl"),
    ):
        data = b"the bytes of " + file.encode()
        digest = store.add_bytes(data, file)
        packages.append(
            PackageEntry.model_validate(
                {
                    "kind": kind,
                    "name": file.split("-")[0],
                    "version": wheel.partition("-")[2] if kind == "wheel" else "1.0",
                    "file": file,
                    "size": len(data),
                    "sha256": digest.hex,
                }
            )
        )
    with atomic.Staging(archive.images, "build") as work:
        image = oci_layout.add(archive.images, export(work.path / "layout"), IMAGE.manifest, [])
    with atomic.Staging(archive.environments, name) as staging:
        base, part, thing = packages
        probe = pack_probe(gather_probe({}))
        recipe.write(staging.path / "recipe", Ingredients(base, part, (thing,), probe))
        (staging.path / "conda-lock.yml").write_bytes(lock)
        (staging.path / "environment.yml").write_bytes(f"name: {name}\n".encode())
        names = ["conda-lock.yml", *(n for n in list_tree(staging.path) if n != "conda-lock.yml")]
        record = EnvironmentRecord(
            schema=1,
            name=name,
            created="2026-01-02T03:04:05Z",
            lock_sha256=Digest.of(lock).hex,
            image=image,
            packages=packages,
            files=[writer.entry(staging.path, n, "recipe", "text") for n in names],
            builder={"timeproof": "0.1.0"},
            left_out=[["pip", "an installer"]],
        )
        writer.publish_environment(archive, staging.path, record)
    return record


def engine(probe: Path | None = None) -> FakeEngine:
    """An engine that holds the small environment's image, and whose containers are the probe, run here.

    Args:
        probe: the folder that the image would hold; None for that of this process's frameworks.
    """
    image = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
    return FakeEngine(partial(local_probe.run, probe=probe), [image])


def seal(archive: Archive, model: object, inputs: object, **more: Any) -> Archived:
    """Archive a model in the small environment; both seals are real runs of the probe, in no container.

    Args:
        more: fields of `Request`.
    """
    runner = engine()
    fields = {"model": model, "inputs": inputs, "grid_size": 8, "environment": ENVIRONMENT, **more}
    return archive_model(archive, Request(**fields), lambda: runner)
