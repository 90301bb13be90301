"""An image that is made to do harm condemns its own environment, and the replay of the others goes on."""

from __future__ import annotations

import tarfile
from typing import Any

import pytest
from support.archive_making import publish, reseal
from support.oci_archives import image_of_layer, layer_of

from timeproof.engines.sandbox.engine import Sandbox
from timeproof.errors import EngineMissing
from timeproof.replaying.flow import replay
from timeproof.store import oci_layout
from timeproof.store.layout import Archive
from timeproof.store.schema.v1 import EnvironmentRef, ImageIdentity
from timeproof.testing.archives import publish_environment

pytestmark = pytest.mark.slow

PLAIN = layer_of({"run": b"no program"})


def member(kind: bytes = tarfile.REGTYPE, link: str = "", name: str = "a", **pax: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, dict(pax)
    return layer_of({name: info})


ALTERED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "a time that is no number": (member(mtime="nan"), {}),
    "an infinite time": (member(mtime="inf"), {}),
    "a time beyond all clocks": (member(mtime="1e300"), {}),
    "a hard link to nothing": (member(tarfile.LNKTYPE, "b"), {}),
    "a hard link to itself": (member(tarfile.LNKTYPE, "a"), {}),
    "a whiteout of its own folder": (member(name=".wh.."), {}),
    "a link to nowhere": (member(tarfile.SYMTYPE), {}),
    "a link with a zero byte": (member(tarfile.SYMTYPE, linkpath="x\0y"), {}),
    "an entry point that is a number": (PLAIN, {"config": {"Entrypoint": 5}}),
    "variables that are a number": (PLAIN, {"config": {"Entrypoint": ["/run"], "Env": 5}}),
    "a config that is a list": (PLAIN, {"config": ["Entrypoint"]}),
}
CRASHED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "an entry point that is no path": (PLAIN, {"config": {"Entrypoint": ["run"]}}),
    "an entry point that is not there": (PLAIN, {"config": {"Entrypoint": ["/absent"]}}),
    "no entry point": (PLAIN, {"config": {}}),
    "a folder where the artifact is mounted": (layer_of({"in/x": b"", "run": b""}), {}),
    "a link where the job is mounted": (member(tarfile.SYMTYPE, "/etc", name="job"), {}),
}


@pytest.fixture
def sandbox(tmp_path) -> Sandbox:
    engine = Sandbox(tmp_path / "roots")
    try:
        engine.check()
    except EngineMissing as error:
        pytest.skip(error.message)
    return engine


def give_image(archive: Archive, name: str, layer: bytes, config: dict[str, Any]) -> None:
    """Publish an environment with an artifact, then let both name another image, as a forger would."""
    record = publish_environment(archive, name)
    config_digest, manifest, blobs = image_of_layer(layer, **config)
    (diff_id,) = image_of_layer(layer)[2].keys() & {d for d in blobs if blobs[d] == layer}
    identity = ImageIdentity(
        manifest=manifest, config=config_digest, diff_ids=[diff_id], platform="linux/amd64"
    )
    for digest, data in blobs.items():
        (archive.images / oci_layout.blob(digest)).write_bytes(data)
    environment = EnvironmentRef(name=record.folder, lock_sha256=record.lock_sha256, image=identity)
    publish(archive, environment=environment)
    path = archive.environments / record.folder / "image.json"
    reseal(path, lambda value: value.update(image=identity.model_dump()))


@pytest.mark.parametrize("case", [*ALTERED, *CRASHED])
def test_a_hostile_image_condemns_its_environment_alone(tmp_path, sandbox, case):
    archive = Archive(tmp_path / "archive")
    layer, config = (ALTERED | CRASHED)[case]
    give_image(archive, "hostile", layer, config)
    give_image(archive, "plain", PLAIN, {})
    result = replay(archive, list(archive.refs()), sandbox, image="stored")
    hostile, plain = result.replayed
    assert str(hostile.verdict) == ("altered" if case in ALTERED else "crashed"), hostile.sentence()
    assert "can't be started: Exec format error" in plain.log, "it was unpacked, and its program was run"
    assert str(plain.verdict) == "crashed"
