"""Which containers are strays, and which platforms need an emulator: decisions, without an engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from timeproof.engines import ownership_labels, platforms


def test_what_a_living_process_started_is_never_a_stray():
    mine = ownership_labels.labels(60.0)
    assert not ownership_labels.is_stray(mine)
    assert not ownership_labels.is_stray(mine, now=time.time() + 1e9)


def test_what_a_dead_process_started_is_a_stray():
    code = (
        "import json; from timeproof.engines.ownership_labels import labels; print(json.dumps(labels(60.0)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert ownership_labels.is_stray(json.loads(said))


def test_what_a_zombie_started_is_a_stray():
    code = (
        "import json; from timeproof.engines.ownership_labels import labels; print(json.dumps(labels(60.0)))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.read())
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody took note
        assert os.path.exists(f"/proc/{process.pid}/stat")
        assert ownership_labels.is_stray(said)


def test_a_number_that_another_process_has_got_meanwhile_is_told_by_its_start():
    mine = ownership_labels.labels(60.0)
    place, _, _ = mine[ownership_labels.OWNER].rpartition("/")
    assert ownership_labels.is_stray({**mine, ownership_labels.OWNER: f"{place}/1"})


def test_the_owner_on_another_machine_is_left_in_peace_until_long_after_its_time():
    elsewhere = {**ownership_labels.labels(60.0), ownership_labels.OWNER: f"another boot/1/{os.getpid()}/1"}
    assert not ownership_labels.is_stray(elsewhere)
    assert not ownership_labels.is_stray(elsewhere, now=time.time() + 120)
    assert ownership_labels.is_stray(elsewhere, now=time.time() + 2 * 3600)


@pytest.mark.parametrize(
    "labels", [{}, {"a": "b"}, {ownership_labels.OWNER: "x/1/1/1"}, {ownership_labels.LABEL: "x"}]
)
def test_what_says_nothing_of_an_owner_is_nobodys_to_remove(labels):
    assert not ownership_labels.is_stray(labels, now=1e12)


@pytest.mark.parametrize(
    ("engine", "platform", "needed"),
    [
        ("amd64", "linux/amd64", False),
        ("x86_64", "linux/amd64", False),
        ("arm64", "linux/amd64", True),
        ("aarch64", "linux/amd64", True),
        ("arm64", "linux/arm64/v8", False),
        ("amd64", "linux/arm64/v8", True),
        ("?", "linux/amd64", False),
        ("", "linux/amd64", False),
    ],
)
def test_an_engine_emulates_what_is_not_its_own(engine, platform, needed):
    assert platforms.emulated(engine, platform) is needed


def test_the_kernels_emulators_are_those_that_work_in_containers(tmp_path):
    (tmp_path / "qemu-aarch64").write_text("enabled\ninterpreter /q\nflags: OCF\noffset 0\n")
    (tmp_path / "qemu-riscv64").write_text("enabled\ninterpreter /q\nflags: \noffset 0\n")
    (tmp_path / "qemu-s390x").write_text("disabled\ninterpreter /q\nflags: F\n")
    (tmp_path / "python3.11").write_text("enabled\n")
    assert platforms.emulators(tmp_path) == ["arm64"]
    assert platforms.emulators(tmp_path / "nowhere") == []
