"""Proofs: what is recorded of other CPUs is what the probe answered there, output by output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_models
from support.emulator_making import STATIC, emulator

from timeproof.base.limits import LIMITS
from timeproof.engines.protocol import ImageFacts, RunResult, RunSpec
from timeproof.errors import SealFailed
from timeproof.runs.container_run import Task
from timeproof.runs.cpu_emulator import PROVED
from timeproof.runs.profiles import profile_named
from timeproof.sealing import flow as archiving
from timeproof.sealing.double_run import SealContainers
from timeproof.sealing.flow import Request, archive_model
from timeproof.sealing.portability_proof import run_elsewhere
from timeproof.sealing.sealed_answer import SealedAnswer
from timeproof.store.layout import Archive
from timeproof.store.portability import held_by, promise
from timeproof.store.read import read_metadata
from timeproof.store.schema.records import ArrayDistance
from timeproof.store.schema.v1 import Proof
from timeproof.store.verify import verify
from timeproof.testing.archives import ENVIRONMENT, IMAGE
from timeproof.testing.fake_engine import FakeEngine, answer, answering, ended, result_frame, saying, stream

REF = "grid-size-8/onnx/v1"
HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
TWICE = {"y": tiny_models.ROWS * 2}
MOVED = {"y": np.nextafter(TWICE["y"], np.float32(9), dtype=np.float32)}


def cpu_of(spec: RunSpec) -> str:
    """The CPU that a container is told to believe in; nothing on the machine's own."""
    words = spec.entrypoint or ()
    return words[2] if words[:2] == ("/qemu", "-cpu") else ""


def engine(**by_cpu: Any) -> FakeEngine:
    """Answers as recorded, but on the CPUs that are named (`native`: here, without a profile)."""

    def script(job: dict[str, Any], spec: RunSpec) -> tuple[bytes, RunResult]:
        other = by_cpu.get(cpu_of(spec) if spec.env or cpu_of(spec) else "native")
        return other(job, spec) if other else answering({REF: TWICE})(job, spec)

    return FakeEngine(script, [HELD])


def ask(archive: Archive, folder: Path, fake: FakeEngine, monkeypatch, **more: Any):
    ours = emulator(folder)
    monkeypatch.setattr(archiving, "locate_or_fetch", lambda _: ours)
    path, inputs = tiny_models.graph(folder)
    fields = {"model": path, "inputs": inputs, "grid_size": 8, "environment": ENVIRONMENT, **more}
    return archive_model(archive, Request(prove_portable=True, **fields), lambda: fake).metadata


def proof_of(metadata, cpu: str) -> Proof:
    return next(p for p in metadata.proofs if p.cpu == cpu)


def test_an_answer_that_holds_on_every_cpu_is_recorded_as_proved(small, tmp_path, monkeypatch):
    fake = engine()
    made = ask(small, tmp_path, fake, monkeypatch)
    assert promise(made) == "proved on Nehalem, Haswell"
    assert held_by(made, "y") == ["portable", "native"]
    assert [cpu_of(s) for s in fake.specs[:3]] == ["", "", ""], "two seals, and one without a profile"
    assert sorted(cpu_of(s) for s in fake.specs[3:]) == sorted(PROVED)
    for spec in fake.specs[3:]:
        assert spec.env == made.profile.variables
    (told,) = made.emulators
    assert {p.emulator for p in made.proofs} == {told.sha256, None}
    kept = small.packages / f"sha256/{told.sha256[:2]}/{told.sha256}/{told.file}"
    assert kept.read_bytes() == STATIC
    assert verify(small).ok, "the emulator in the store is listed"


def test_what_moves_is_named_with_how_far(small, tmp_path, monkeypatch):
    made = ask(small, tmp_path, engine(Haswell=answering({REF: MOVED})), monkeypatch)
    assert promise(made) == "proved on Nehalem; on Haswell: 'y' moves by 1 sULP (rounding)"
    found = proof_of(made, "Haswell")
    assert found.verdict == "rounding"
    assert found.outputs["y"].sulp == pytest.approx(1.0)
    assert proof_of(made, "Nehalem").outputs == {"y": ArrayDistance(verdict="identical")}
    assert held_by(made, "y") == ["native"], "the profile did not hold everywhere"


def test_what_moves_is_graded_by_the_figures_of_the_artifact(small, tmp_path, monkeypatch):
    fake = engine(Haswell=answering({REF: MOVED}), native=answering({REF: MOVED}))
    made = ask(small, tmp_path, fake, monkeypatch, thresholds={"rounding": 0.5})
    assert proof_of(made, "Haswell").verdict == "drift"
    assert promise(made) == "proved on Nehalem; on Haswell: 'y' moves by 1 sULP (drift)"
    assert {p.verdict for p in made.proofs if p.profile == "native"} == {"drift"}


def test_an_output_that_needs_the_profile_is_told_from_one_that_does_not(small, tmp_path, monkeypatch):
    made = ask(small, tmp_path, engine(native=answering({REF: MOVED})), monkeypatch)
    assert promise(made) == "proved on Nehalem, Haswell"
    assert held_by(made, "y") == ["portable"]


@pytest.mark.parametrize(
    ("script", "verdict", "match"),
    [
        (saying(stream(result_frame(REF, "crashed", signal=4))), "crashed", "on Nehalem: crashed"),
        (saying(stream(done=False), timed_out=True), "timeout", "ran out of time"),
        (answering({REF: {"z": TWICE["y"]}}), "broken", "'y' is missing"),
        (answering({REF: {"y": TWICE["y"][:3]}}), "broken", "broken"),
    ],
)
def test_a_cpu_on_which_it_does_not_run_is_a_finding_and_no_failure(
    small, tmp_path, monkeypatch, script, verdict, match
):
    made = ask(small, tmp_path, engine(Nehalem=script), monkeypatch)
    assert proof_of(made, "Nehalem").verdict == verdict
    assert match in promise(made)
    assert "proved on Haswell" in promise(made)
    assert verify(small).ok


def test_what_was_not_proved_is_not_promised(small, tmp_path):
    path, inputs = tiny_models.graph(tmp_path)
    request = Request(path, inputs, 8, ENVIRONMENT)
    made = archive_model(small, request, engine).metadata
    assert made.proofs == made.emulators == []
    assert "not proved" in promise(made)


def test_a_native_reference_is_not_asked_twice_for_what_it_is(small, tmp_path, monkeypatch):
    made = ask(small, tmp_path, engine(), monkeypatch, profile="native")
    assert [p.cpu for p in made.proofs] == list(PROVED)
    assert {p.profile for p in made.proofs} == {"native"}


def test_an_artifact_that_does_not_seal_is_never_simulated(small, tmp_path, monkeypatch):
    fake = engine()
    fake.script = lambda *_: (stream(result_frame(REF, "refused")), ended())
    with pytest.raises(SealFailed):
        ask(small, tmp_path, fake, monkeypatch)
    assert all(cpu_of(s) == "" for s in fake.specs)
    assert verify(small).ok, "no emulator is left in the store"


def test_a_proof_by_an_emulator_that_nobody_lists_is_refused(small, tmp_path, monkeypatch):
    from support.archive_making import reseal

    from timeproof.errors import Malformed

    ask(small, tmp_path, engine(), monkeypatch)
    ref = small.locate(REF)
    reseal(small.root / ref.metadata, lambda v: v["emulators"].clear())
    with pytest.raises(Malformed, match="no emulator here"):
        read_metadata(small, ref)


def test_the_answers_themselves_are_those_of_the_machine(small, tmp_path, monkeypatch):
    """Whatever a simulated CPU says, the reference is what two real containers gave."""
    both = saying(stream(answer(REF, MOVED)))
    made = ask(small, tmp_path, engine(Nehalem=both, Haswell=both), monkeypatch)
    plain = archive_model(
        small,
        Request(*tiny_models.graph(tmp_path), 8, ENVIRONMENT),
        lambda: FakeEngine(answering({"grid-size-8/onnx/v2": TWICE}), [HELD]),
    ).metadata
    assert made.outputs == plain.outputs


def _elsewhere(folder: Path, fake: FakeEngine, **what: bool):
    (folder / "r.npz").write_bytes(b"")
    task = Task(REF, "onnx", folder, (), "m.onnx", "r.npz", (), {})
    profile, ours = profile_named("portable"), emulator(folder)
    containers = SealContainers(lambda: fake, "sha256:x", task, profile, LIMITS)
    return run_elsewhere(containers, SealedAnswer(TWICE), ours, **what)


def test_an_emulated_witness_is_two_runs_that_agree(tmp_path):
    fake = engine(Nehalem=answering({REF: MOVED}))
    found = _elsewhere(tmp_path, fake, prove=False, witness=True)
    assert [cpu_of(s) for s in fake.specs] == ["Nehalem", "Nehalem"]
    assert found.proofs == []
    assert found.witness is not None
    assert found.witness["y"].tobytes() == MOVED["y"].tobytes(), "its own answer, whatever is native"


def test_one_of_the_witness_runs_is_the_proof_for_its_cpu(tmp_path):
    fake = engine(Nehalem=answering({REF: MOVED}))
    found = _elsewhere(tmp_path, fake, prove=True, witness=True)
    assert sorted(cpu_of(s) for s in fake.specs) == ["", "Haswell", "Nehalem", "Nehalem"]
    told = {(p.cpu, p.verdict) for p in found.proofs}
    assert told == {("a CPU", "identical"), ("Nehalem", "rounding"), ("Haswell", "identical")}


def test_a_witness_whose_two_runs_differ_or_fail_is_none(tmp_path):
    turns = iter([TWICE, MOVED])
    differing = engine(Nehalem=lambda job, spec: answering({REF: next(turns)})(job, spec))
    with pytest.raises(SealFailed, match=r"on a simulated Nehalem.*differ") as caught:
        _elsewhere(tmp_path, differing, prove=False, witness=True)
    assert "leave the emulated witness out" in caught.value.advice
    slow = engine(Nehalem=saying(stream(done=False), timed_out=True))
    with pytest.raises(SealFailed, match="ran out of time"):
        _elsewhere(tmp_path, slow, prove=False, witness=True)


def test_what_the_oldest_cpu_can_not_run_has_a_witness_of_a_newer_one(tmp_path):
    """torch's int8 kernels end in an illegal instruction on a CPU without AVX2."""
    dead = saying(stream(result_frame(REF, "crashed", signal=4)))
    fake = engine(Nehalem=dead, Haswell=answering({REF: MOVED}))
    found = _elsewhere(tmp_path, fake, prove=True, witness=True)
    assert found.cpu == "Haswell"
    assert found.witness is not None
    assert found.witness["y"].tobytes() == MOVED["y"].tobytes()
    assert {p.cpu: p.verdict for p in found.proofs}["Nehalem"] == "crashed"
    with pytest.raises(SealFailed, match=r"on a simulated Haswell: .*crashed"):
        _elsewhere(tmp_path, engine(Nehalem=dead, Haswell=dead), prove=False, witness=True)
