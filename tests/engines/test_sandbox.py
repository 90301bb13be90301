"""Unpacked images: taken in whole or not at all, gone through before they are used, run without an engine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from timeproof.engines.protocol import RunSpec
from timeproof.engines.registry import engine_named
from timeproof.engines.sandbox import engine as bare
from timeproof.engines.sandbox import roots
from timeproof.engines.sandbox.engine import Sandbox
from timeproof.errors import BadRequest, EngineFailed, EngineMissing

BOX = Path(bare.__file__).with_name("program")


def image(members: dict[str, bytes], **config: object) -> tuple[str, dict[str, bytes]]:
    """An OCI archive's members with one layer of these files; and the config's digest."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    diff_id = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    blobs: dict[str, bytes] = {}

    def put(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data), "mediaType": "application/octet-stream"}

    told = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Entrypoint": ["/run"], "Env": ["A=from the image"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        **config,
    }
    named = put(json.dumps(told).encode())
    manifest = put(json.dumps({"config": named, "layers": [put(layer.getvalue())]}).encode())
    index = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    return str(named["digest"]), {"oci-layout": b"{}", "index.json": index, **blobs}


def packed(members: dict[str, bytes]) -> list[bytes]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = stream.getvalue()
    return [data[at : at + 1000] for at in range(0, len(data), 1000)]


@pytest.fixture
def engine(tmp_path, monkeypatch) -> Sandbox:
    monkeypatch.setattr(roots, "_SOUND", set())
    return Sandbox(tmp_path / "cache")


def left(engine: Sandbox) -> list[str]:
    return sorted(os.listdir(engine.roots.folder))


def test_an_image_is_known_by_config_and_manifest_and_forgotten_when_dropped(engine):
    config, members = image({"a/b": b"1"})
    engine.load(packed(members))
    facts = engine.inspect(config)
    assert facts is not None
    assert (facts.id, facts.platform) == (config, "linux/amd64")
    manifest = json.loads(members["index.json"])["manifests"][0]["digest"]
    assert engine.inspect(manifest) == facts
    assert engine.inspect("sha256:" + "0" * 64) is None
    engine.load(packed(members))
    assert left(engine) == [config.removeprefix("sha256:")]
    engine.drop(manifest)
    engine.drop(manifest)
    assert engine.inspect(config) is None
    assert left(engine) == []


def test_what_a_killed_process_left_is_removed_the_next_day(engine):
    for name, age in ((".unpacking-old", 2 * 86400), (".unpacking-of-now", 0)):
        folder = engine.roots.folder / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age,) * 2)
    config, members = image({"a": b"1"})
    engine.load(packed(members))
    assert left(engine) == [".unpacking-of-now", config.removeprefix("sha256:")]


@pytest.mark.parametrize("how", ["content", "mode", "more", "less", "link"])
def test_a_root_that_changed_is_thrown_away(engine, how, monkeypatch):
    config, members = image({"a/b": b"1", "c": b"2"})
    engine.load(packed(members))
    assert engine.inspect(config) is not None
    root = engine.roots.folder / config.removeprefix("sha256:") / "root"
    if how == "content":
        (root / "a/b").write_bytes(b"3")
    elif how == "mode":
        (root / "a/b").chmod(0o777)
    elif how == "more":
        (root / "a/new").write_bytes(b"")
    elif how == "less":
        (root / "c").unlink()
    else:
        (root / "c").unlink()
        (root / "c").symlink_to("a/b")
    monkeypatch.setattr(roots, "_SOUND", set())  # as another process
    assert engine.inspect(config) is None
    assert left(engine) == []
    engine.load(packed(members))
    assert engine.inspect(config) is not None


def test_what_is_no_image_leaves_nothing_behind(engine):
    config, members = image({"a": b"1"})
    blob = next(n for n, d in members.items() if n.startswith("blobs") and d.startswith(b"a\0"))
    outside = {f"../{n}" if n == blob else n: d for n, d in members.items()}
    for wrong in (
        {**members, blob: members[blob].replace(b"a\0", b"b\0", 1)},
        {n: d for n, d in members.items() if n != blob},
        {n: d for n, d in members.items() if n != "index.json"},
        outside,
        image({"../a": b"1"})[1],
        image({"a": b"1"}, rootfs={"type": "layers", "diff_ids": ["sha256:" + "0" * 64]})[1],
        image({"a": b"1"}, rootfs={"type": "layers", "diff_ids": []})[1],
    ):
        with pytest.raises(EngineFailed):
            engine.load(packed(wrong))
        assert left(engine) == []
        assert engine.inspect(config) is None
    assert [p.name for p in engine.roots.folder.parent.iterdir()] == ["cache"]


def test_a_mount_over_a_folder_of_the_image_is_refused(engine, tmp_path):
    from timeproof.engines.protocol import Mount

    config, members = image({"run": b"#!", "opt/x": b""})
    engine.load(packed(members))
    with pytest.raises(EngineFailed, match="the image has that folder"):
        engine.run(RunSpec(config, mounts=(Mount(tmp_path, "/opt/here"),)), lambda read: None)


def test_what_can_not_be_started_is_told(engine):
    config, members = image({"run": b"no program at all"})
    engine.load(packed(members))
    with pytest.raises(EngineFailed, match="Exec format error"):
        engine.run(RunSpec(config), lambda read: None)


def _python_for(as_them: list[str]) -> str:
    """A Python that the other user can start, and that can start itself; this one may lie in a home."""
    again = "import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', ''], check=True)"
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        if not os.path.exists(python):
            continue
        words = [*as_them, python, "-I", "-S", "-c", again]
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            return python
    return pytest.skip("there is no Python that another user can start")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach: pytest's own are closed again by every other session."""
    with tempfile.TemporaryDirectory(prefix="tp-") as name:
        os.chmod(name, 0o711)
        yield Path(name)


@pytest.mark.parametrize("network", ["with", "without"])
def test_the_box_works_for_a_user_who_is_not_root(network: str, open_folder):
    """With namespaces of the user's own, and so with weaker bounds, which the report says."""
    if os.geteuid() == 0:
        allowed = Path("/proc/sys/kernel/unprivileged_userns_clone")
        if allowed.exists() and allowed.read_text().strip() == "0":
            pytest.skip("this kernel gives users no namespaces")
    folder = open_folder / "theirs"
    for name in ("root", "scratch"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(BOX, folder / "box", ignore=shutil.ignore_patterns("__pycache__"))
    code = """
import json, os, subprocess, sys
folder = sys.argv[1]
spec = {"root": folder + "/root", "argv": [], "env": {}, "mounts": [], "memory": 1 << 28, "pids": 64,
        "files": 256, "tmp": 1 << 20, "user": 65534, "scratch": folder + "/scratch",
        "report": folder + "/report.json", "parent": os.getpid(), "programs": False,
        "network": sys.argv[2] == "with"}
words = [sys.executable, "-I", "-S", "-B", folder + "/box"]
print(subprocess.run(words, input=json.dumps(spec).encode()).returncode)
"""
    as_them = []
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, 12345, 12345)
        as_them = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    words = [*as_them, _python_for(as_them), "-I", "-S", "-c", code, str(folder), network]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"0\n", done.stderr.decode()
    report = json.loads((folder / "report.json").read_bytes())
    assert report["failed"] == ""


def test_a_machine_that_makes_no_box_is_named_and_says_what_it_takes(monkeypatch):
    monkeypatch.setattr(bare, "_REPORT", {})

    def denied(*_: object, **__: object) -> None:
        raise EngineFailed("the box can't be made: this kernel gives us no namespaces")

    monkeypatch.setattr(bare, "_confined", denied)
    with pytest.raises(EngineMissing, match="no namespaces") as caught:
        engine_named("none")
    assert "root" in caught.value.advice


def test_an_engine_that_does_not_exist_is_named(monkeypatch):
    with pytest.raises(BadRequest, match="'rkt'") as caught:
        engine_named("rkt")
    assert "docker, podman, none" in caught.value.advice
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineMissing, match="podman is not installed"):
        engine_named("podman")
