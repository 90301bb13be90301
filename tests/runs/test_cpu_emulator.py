"""Simulated CPUs: the recorded image, run by a program that is known by its bytes."""

from __future__ import annotations

import os
import platform
import stat
from pathlib import Path

import pytest
from support.emulator_making import DYNAMIC, STATIC, emulator

from timeproof.base.limits import LIMITS
from timeproof.engines.protocol import RunSpec
from timeproof.errors import BadArchive, BadRequest, DigestMismatch, Missing, ToolMissing
from timeproof.runs import cpu_emulator
from timeproof.runs.container_run import Task, run_probe
from timeproof.runs.cpu_emulator import Simulated, emulate
from timeproof.runs.profiles import profile_named
from timeproof.store.layout import Archive
from timeproof.testing.fake_engine import FakeEngine, answering


def test_the_image_stays_and_the_emulator_is_mounted_and_runs_its_entry_point(tmp_path):
    spec = RunSpec("sha256:x", ("/job/job.json",), {"A": "1"})
    made = emulate(spec, Simulated(emulator(tmp_path), "Nehalem"), _folder(tmp_path))
    assert made.image == spec.image
    assert made.argv == spec.argv
    assert made.env == spec.env
    assert made.entrypoint == (
        *("/qemu", "-cpu", "Nehalem"),
        *("/opt/env/bin/python3", "-s", "-B", "/opt/timeproof/probe"),
    )
    (mount,) = made.mounts
    assert mount.target == "/qemu"
    assert mount.source.read_bytes() == STATIC
    assert stat.S_IMODE(mount.source.stat().st_mode) == 0o755, "another user runs it"


def test_the_words_are_those_of_the_images_own_entry_point(small):
    dockerfile = next(small.environments.glob("*/recipe/Dockerfile")).read_text()
    words = '", "'.join(cpu_emulator.ENTRYPOINT)
    assert f'ENTRYPOINT ["{words}"]' in dockerfile


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def test_an_emulator_with_other_bytes_is_not_run(tmp_path):
    altered = Simulated(emulator(tmp_path, STATIC + b"!"), "Nehalem")
    with pytest.raises(DigestMismatch):
        emulate(RunSpec("sha256:x"), altered, _folder(tmp_path))


@pytest.mark.parametrize("name", ["", "-version", "Haswell,+avx", "a b", "a" * 65, "Haswell\n"])
def test_a_name_that_no_cpu_has_is_refused(tmp_path, name):
    with pytest.raises(BadRequest):
        emulate(RunSpec("sha256:x"), Simulated(emulator(tmp_path), name), _folder(tmp_path))


def test_a_probe_can_be_run_on_a_simulated_cpu(tmp_path):
    (tmp_path / "m").mkdir()
    fake = FakeEngine(answering({"a": {"y": [1.0]}}))
    task = Task("a", "onnx", tmp_path / "m", (), "m.onnx", "r.npz", (), {})
    (tmp_path / "m" / "r.npz").write_bytes(b"")
    limits = cpu_emulator.slowed(LIMITS)
    ours = Simulated(emulator(tmp_path), "Haswell")
    run = run_probe(fake, "sha256:x", [task], profile_named("portable"), limits=limits, simulated=ours)
    assert run.outcomes["a"].failure is None
    (spec,) = fake.specs
    assert spec.entrypoint is not None
    assert spec.entrypoint[:3] == ("/qemu", "-cpu", "Haswell")
    assert {m.target for m in spec.mounts} == {"/job/job.json", "/in", "/qemu"}
    assert fake.jobs[0]["artifacts"][0]["timeout"] > LIMITS.artifact_seconds, "it is given more time"


def test_the_archive_keeps_the_emulator_by_its_hash(tmp_path):
    archive = Archive(tmp_path / "archive")
    told = cpu_emulator.store_in_archive(archive, emulator(tmp_path))
    assert cpu_emulator.store_in_archive(archive, emulator(tmp_path)) == told
    kept = cpu_emulator.read_from_archive(archive, told)
    assert kept.path == archive.packages / f"sha256/{told.sha256[:2]}/{told.sha256}/qemu-x86_64"
    assert kept.path.read_bytes() == STATIC
    kept.path.write_bytes(b"another one")
    with pytest.raises(DigestMismatch):
        cpu_emulator.read_from_archive(archive, told)
    kept.path.unlink()
    with pytest.raises(Missing):
        cpu_emulator.read_from_archive(archive, told)


def test_an_emulator_for_another_machine_is_named_and_not_run(tmp_path):
    archive = Archive(tmp_path / "archive")
    told = cpu_emulator.store_in_archive(archive, emulator(tmp_path, machine="s390x"))
    with pytest.raises(ToolMissing, match=platform.machine()) as caught:
        cpu_emulator.read_from_archive(archive, told)
    assert "s390x" in caught.value.advice


def _saying(path: Path, words: str) -> None:
    """A program of this machine that says `words`."""
    path.write_text(f"#!/bin/sh\necho '{words}'\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    "words",
    [
        "qemu-x86_64 version 7.2.22 (Debian 1:7.2+dfsg-7)",
        "qemu-aarch64 version 10.0.2",
        "qemu-x86_64",
        "",
        "qemu-x86_64 version 10.0.2",  # a script is no static program
    ],
)
def test_a_program_that_is_too_old_or_another_is_not_taken(tmp_path, monkeypatch, words):
    _saying(tmp_path / "qemu", words)
    monkeypatch.setenv("TIMEPROOF_QEMU", str(tmp_path / "qemu"))
    with pytest.raises(ToolMissing) as caught:
        cpu_emulator.locate_or_fetch()
    assert "TIMEPROOF_QEMU" in caught.value.advice
    assert cpu_emulator.locate() is None


def test_a_chosen_program_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TIMEPROOF_QEMU", str(tmp_path / "nowhere"))
    with pytest.raises(ToolMissing, match="nowhere"):
        cpu_emulator.locate_or_fetch()


@pytest.mark.parametrize(
    ("data", "static"), [(STATIC, True), (DYNAMIC, False), (b"", False), (b"#!/bin/sh\n" * 9, False)]
)
def test_a_program_that_needs_a_loader_is_told_from_one_that_does_not(tmp_path, data, static):
    path = tmp_path / "program"
    path.write_bytes(data)
    assert cpu_emulator._is_static(path) is static
    assert not cpu_emulator._is_static(Path(os.path.realpath("/bin/sh")))


def test_what_documents_say_of_an_emulator_is_checked(small):
    from support.archive_making import publish, reseal

    from timeproof.store.verify import verify

    told = cpu_emulator.store_in_archive(small, emulator(small.root.parent))
    ref = publish(small, "lightgbm", emulators=[told])
    report = verify(small)
    assert report.ok, [f.message for f in report.findings]
    cpu_emulator.read_from_archive(small, told).path.write_bytes(b"x" * len(STATIC))
    (finding,) = verify(small).findings
    assert finding.path.endswith(told.file)
    assert verify(small, [ref]).findings, "also where one artifact is asked for"
    for bad in ("../qemu", "/qemu", ""):
        reseal(small.root / ref.metadata, lambda v, b=bad: v["emulators"][0].update(file=b))
        assert any(isinstance(f, BadArchive) for f in verify(small, [ref]).findings)
