"""An image of another architecture: run by the emulator that the kernel hands its programs to."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import struct
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from timeproof.engines import platforms
from timeproof.engines.podman import Podman
from timeproof.engines.protocol import Engine, RunSpec
from timeproof.engines.sandbox.engine import Sandbox
from timeproof.errors import EngineFailed

pytestmark = [pytest.mark.container, pytest.mark.slow]

QEMU = Path(__file__).parents[2] / "images/qemu.sh"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
SAID = b"an answer of an ARM\n"
# write(1, SAID, len); exit(7): what assembles to no more than nine words of AArch64.
CODE = (0xD2800020, 0x10000101, 0xD2800002 | len(SAID) << 5, 0xD2800808, 0xD4000001, 0xD28000E0, 0xD2800BA8)
CODE += (0xD4000001, 0xD503201F)


def arm_program() -> bytes:
    """A static ELF of AArch64 that says SAID, and ends with code 7."""
    code = struct.pack(f"<{len(CODE)}I", *CODE) + SAID
    at, start = 0x400000, 64 + 56
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 2, 0xB7, 1, at + start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    size = start + len(code)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, at, at, size, size, 0x1000) + code


def arm_image() -> tuple[str, bytes]:
    """An OCI archive with that program in it: (config digest, bytes)."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        info = tarfile.TarInfo("answer")
        info.size, info.mode = len(arm_program()), 0o755
        tar.addfile(info, io.BytesIO(arm_program()))

    def described(kind: str, data: bytes) -> dict[str, object]:
        blobs[hashlib.sha256(data).hexdigest()] = data
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}

    blobs: dict[str, bytes] = {}
    config = {
        "architecture": "arm64",
        "os": "linux",
        "config": {"Entrypoint": ["/answer"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
    }
    told = described("config.v1+json", json.dumps(config).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": told,
        "layers": [described("layer.v1.tar", layer.getvalue())],
    }
    listed = described("manifest.v1+json", json.dumps(manifest).encode())
    name = {
        "io.containerd.image.name": "docker.io/timeproof/arm-test:1",
        "org.opencontainers.image.ref.name": "1",
    }
    index = {"schemaVersion": 2, "manifests": [{**listed, "annotations": name}]}
    members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    members |= {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(told["digest"]), stream.getvalue()


@pytest.fixture(scope="module")
def _emulator(tmp_path_factory) -> Iterator[None]:
    """See that the kernel hands AArch64's programs to qemu, for the time of these tests."""
    if platform.machine() != "x86_64":
        pytest.skip("the test's program is foreign to x86-64")
    if "arm64" in platforms.emulators():
        yield
        return
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "none", str(BINFMT)], capture_output=True, check=False)
    folder = tmp_path_factory.mktemp("qemu")
    done = subprocess.run(["sh", QEMU, folder, "qemu-aarch64"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no qemu to be had: {done.stderr.decode(errors='replace')[-300:]}")
    magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    try:
        (BINFMT / "register").write_text(f":qemu-aarch64:M::{magic}:{mask}:{folder}/qemu-aarch64:F")
    except OSError as error:
        pytest.skip(f"this kernel takes no handler from us: {error}")
    yield
    (BINFMT / "qemu-aarch64").write_text("-1")


@pytest.fixture
def made(request, real_engine, tmp_path) -> Iterator[Callable[[str], Engine]]:
    known: dict[str, Engine] = {"docker": real_engine}
    image, archive = arm_image()

    def make(name: str) -> Engine:
        engine = known.get(name) or {"podman": Podman, "none": lambda: Sandbox(tmp_path / "roots")}[name]()
        known[name] = engine
        engine.load([archive])
        return engine

    yield make
    for engine in known.values():
        for name in ("timeproof/arm-test:1", image):
            engine.drop(name)


def held(engine: Engine) -> str:
    """The id by which the engine holds the image: the config's or the manifest's digest, or its name."""
    for name in (arm_image()[0], "timeproof/arm-test:1"):
        facts = engine.inspect(name)
        if facts is not None:
            assert facts.platform == "linux/arm64"
            return facts.id
    raise AssertionError("the image was not loaded")


@pytest.mark.skipif("arm64" in platforms.emulators(), reason="this machine emulates ARM by itself")
@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("name", ["docker", "podman", "none"])
def test_without_an_emulator_it_is_said_that_the_format_is_another(made, name):
    """Before the others: they bring an emulator. Some engines refuse, others start and end at once."""
    engine = made(name)
    try:
        result = engine.run(RunSpec(held(engine)), lambda read: None)
        said = result.log
        assert result.exit_code
    except EngineFailed as error:
        said = error.message
    assert "exec format error" in said.lower()


@pytest.mark.usefixtures("_emulator", "started")
@pytest.mark.parametrize("name", ["docker", "podman", "none"])
def test_a_foreign_image_gives_its_answer_by_emulation(made, name):
    engine = made(name)
    assert platforms.emulated(engine.version()["arch"], "linux/arm64")
    got = bytearray()
    result = engine.run(RunSpec(held(engine)), lambda read: got.extend(read(len(SAID))))
    assert (bytes(got), result.exit_code) == (SAID, 7), result.log
    assert "arm64" in platforms.emulators()
