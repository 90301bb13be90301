"""Unpacked images: taken in whole or not at all, gone through before they are used, run without an engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.oci_archives import image, packed

from timeproof.engines.protocol import RunSpec
from timeproof.engines.registry import engine_named
from timeproof.engines.sandbox import engine as sandbox
from timeproof.engines.sandbox import roots
from timeproof.engines.sandbox.engine import Sandbox
from timeproof.errors import EngineFailed, EngineMissing

PROGRAM = Path(sandbox.__file__).with_name("program")


@pytest.fixture
def engine(tmp_path, monkeypatch) -> Sandbox:
    monkeypatch.setattr(roots, "_SOUND", set())
    return Sandbox(tmp_path / "cache")


def test_a_mount_over_a_folder_of_the_image_is_refused(engine, tmp_path):
    from timeproof.engines.protocol import Mount

    config, members = image({"run": b"#!", "opt/x": b""})
    engine.load(packed(members))
    result = engine.run(RunSpec(config, mounts=(Mount(tmp_path, "/opt/mounted"),)), lambda read: None)
    assert result.exit_code == 126
    assert "the image has that folder" in result.log


def test_what_can_not_be_started_is_told(engine):
    config, members = image({"run": b"no program at all"})
    engine.load(packed(members))
    result = engine.run(RunSpec(config), lambda read: None)
    assert result.exit_code == 126
    assert "/run can't be started: Exec format error" in result.log


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
def test_the_sandbox_works_for_a_user_who_is_not_root(network: str, open_folder):
    """With namespaces of the user's own, and so with weaker bounds, which the report says."""
    if os.geteuid() == 0:
        allowed = Path("/proc/sys/kernel/unprivileged_userns_clone")
        if allowed.exists() and allowed.read_text().strip() == "0":
            pytest.skip("this kernel gives users no namespaces")
    folder = open_folder / "theirs"
    for name in ("root", "scratch"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(PROGRAM, folder / "program", ignore=shutil.ignore_patterns("__pycache__"))
    code = """
import json, os, subprocess, sys
folder = sys.argv[1]
spec = {"root": folder + "/root", "argv": [], "env": {}, "mounts": [], "memory": 1 << 28, "pids": 64,
        "files": 256, "tmp": 1 << 20, "user": 65534, "scratch": folder + "/scratch",
        "report": folder + "/report.json", "parent": os.getpid(), "programs": False,
        "network": sys.argv[2] == "with"}
words = [sys.executable, "-I", "-S", "-B", folder + "/program"]
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


def test_a_machine_that_makes_no_sandbox_is_named_and_says_what_it_takes(monkeypatch):
    monkeypatch.setattr(sandbox, "_REPORT", {})

    def denied(*_: object, **__: object) -> None:
        raise EngineFailed("the sandbox can't be made: this kernel gives us no namespaces")

    monkeypatch.setattr(sandbox, "_confined", denied)
    with pytest.raises(EngineMissing, match="no namespaces") as caught:
        engine_named("none")
    assert "root" in caught.value.advice
