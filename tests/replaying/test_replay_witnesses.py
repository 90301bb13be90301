"""A witness speaks where a native answer differs, and never makes the native one look better than it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.archive_making import break_hard_link, flip, reseal
from support.witness_making import LAST_BIT, NATIVE, WIDE, publish, replay_one, saying

from timeproof.compare.verdict import Verdict
from timeproof.runs.profiles import profile_named
from timeproof.store import reference
from timeproof.store.layout import Archive
from timeproof.store.verify import verify
from timeproof.testing.fake_engine import FakeEngine, result_frame

WRONG = {**NATIVE, "y": NATIVE["y"][::-1].copy()}


def asked(engine: FakeEngine) -> list[str | None]:
    return [a["witness"] for job in engine.jobs for a in job["artifacts"]]


def test_a_witness_is_not_asked_where_the_native_answer_is_the_recorded_one(small):
    found, result, engine = replay_one(
        small, publish(small, "float64"), saying(NATIVE, WIDE, cpu="another CPU")
    )
    assert found.sentence().startswith("identical: ")
    assert found.witness is None
    assert result.passes(strict=True)
    assert asked(engine) == [None]


def test_on_another_cpu_a_witness_makes_good_and_the_verdict_says_so(small):
    ref = publish(small, "float64")
    found, result, engine = replay_one(small, ref, saying(LAST_BIT, WIDE, cpu="another CPU"))
    assert found.verdict is Verdict.rounding
    assert found.witness is not None
    assert found.sentence() == "identical (float64 witness); native differs by 1 sULP: CPU"
    assert asked(engine) == [None, "float64"]
    assert result.passes()
    assert not result.passes(strict=True)
    assert result.passes(Verdict.rounding, strict=True)
    told_ = result.to_json()
    assert told_["counts"] == {"rounding": 1}
    assert told_["witnessed"] == 1
    assert told_["replayed"][0]["verdict"] == "rounding"
    assert told_["replayed"][0]["witness"]["verdict"] == "identical"
    assert told_["replayed"][0]["recorded"]["cpu"] == "a CPU"
    assert told_["replayed"][0]["here"]["cpu"] == "another CPU"


def test_on_the_recorded_cpu_a_witness_excuses_nothing(small):
    """The native answer was promised here; that the model itself is whole is told all the same."""
    found, result, _ = replay_one(small, publish(small, "float64"), saying(LAST_BIT, WIDE))
    assert found.witness is not None
    assert found.witness.holds
    assert not result.passes()
    assert "identical (float64 witness)" in found.sentence()
    assert "the CPU" in found.notes[-1]


def test_another_profile_on_the_recorded_cpu_is_named_and_excuses_nothing(small):
    ref = publish(small, "float64")
    found, result, _ = replay_one(small, ref, saying(LAST_BIT, WIDE), profile=profile_named("native"))
    assert found.cause == "profile"
    assert found.notes[0] == "replayed under the profile native; recorded under portable"
    assert not result.passes()


def test_a_wrong_native_answer_fails_though_its_witness_is_identical(small):
    """Whoever uses this machine's answers would use wrong ones."""
    found, result, _ = replay_one(small, publish(small, "float64"), saying(WRONG, WIDE, cpu="another CPU"))
    assert found.verdict is Verdict.broken
    assert found.witness is not None
    assert found.witness.holds
    assert not result.passes()
    assert not result.passes(Verdict.outliers)
    assert not found.witnessed


def test_a_witness_that_differs_too_makes_nothing_good(small):
    other = {name: np.nextafter(array, np.float32(9)) for name, array in WIDE.items()}
    found, result, _ = replay_one(
        small, publish(small, "float64"), saying(LAST_BIT, other, cpu="another CPU")
    )
    assert found.sentence().startswith("rounding: ")
    assert "the float64 witness differs, too: rounding" in found.sentence()
    assert not result.passes()


def test_a_witness_that_crashes_is_told_and_the_native_verdict_stays(small):
    ref = publish(small, "float64")
    crash = result_frame(str(ref), "crashed", signal=11, reason="killed")
    found, result, _ = replay_one(small, ref, saying(LAST_BIT, crash, cpu="another CPU"))
    assert found.verdict is Verdict.rounding
    assert found.witness is not None
    assert found.witness.verdict is Verdict.crashed
    assert not result.passes()


def test_raw_margins_bear_witness_without_a_further_run(small):
    ref = publish(small, "margin", framework="xgboost")
    found, result, engine = replay_one(small, ref, saying(LAST_BIT, cpu="another CPU"))
    assert found.sentence() == "identical (raw margins); native differs by 1 sULP: CPU"
    assert asked(engine) == [None]
    assert result.passes()


def test_margins_that_differ_bear_no_witness(small):
    other = {**LAST_BIT, "margin": np.nextafter(NATIVE["margin"], np.float32(9))}
    ref = publish(small, "margin", framework="xgboost")
    found, result, _ = replay_one(small, ref, saying(other, cpu="another CPU"))
    assert found.witness is not None
    assert found.witness.verdict is Verdict.rounding
    assert not result.passes()
    del other["margin"]
    found, result, _ = replay_one(small, ref, saying(other, cpu="another CPU"))
    assert found.verdict is Verdict.broken
    assert not result.passes()


@pytest.mark.parametrize("status", ["refused", "crashed", "timeout", "out_of_memory"])
def test_what_gave_no_answer_has_no_witness(small, status):
    ref = publish(small, "float64")
    found, result, engine = replay_one(
        small, ref, saying(result_frame(str(ref), status), WIDE, cpu="another CPU")
    )
    assert found.verdict == status
    assert found.witness is None
    assert asked(engine) == [None]
    assert not result.passes(Verdict.broken)


def test_a_machine_of_which_nothing_was_recorded_is_not_called_another_one(small):
    found, result, _ = replay_one(
        small, publish(small, "float64", machine={}), saying(LAST_BIT, WIDE, cpu="a CPU")
    )
    assert not found.elsewhere
    assert not result.passes()


def test_other_instruction_sets_are_another_cpu_though_its_name_is_the_same(small):
    sealed_on = {"cpu": "a CPU", "flags": ["avx", "avx512f", "fma", "sse4_1", "svm"]}
    ref = publish(small, "float64", machine=sealed_on)
    found, result, _ = replay_one(small, ref, saying(LAST_BIT, WIDE, flags=["avx", "fma", "sse4_1", "vmx"]))
    assert found.cause == "instruction set"
    assert any("with avx512f" in note for note in found.notes)
    assert result.passes()
    found, result, _ = replay_one(small, ref, saying(LAST_BIT, WIDE, flags=["vmx", *sealed_on["flags"]]))
    assert not result.passes(), "virtualisation rounds nothing"


def test_a_witness_is_not_shown_to_the_model(small):
    """What lies beside the model could be given back as its answer."""
    _, _, engine = replay_one(small, publish(small, "float64"), saying(LAST_BIT, WIDE))
    for job in engine.jobs:
        assert not any("witness" in f["path"] for f in job["artifacts"][0]["files"])


def test_an_altered_witness_is_found_before_anything_runs(small):
    ref = publish(small, "float64")
    flip(small.root / ref.folder / f"witness_{ref.tag}_float64.npz")
    found, result, engine = replay_one(small, ref, saying(NATIVE, WIDE))
    assert found.verdict is Verdict.altered
    assert result.exit_code == 3
    assert engine.jobs == []
    assert not verify(small).ok


def test_a_witness_whose_arrays_are_not_the_recorded_ones_bears_none(small):
    """The file and its digest were replaced; the arrays' own digests were not."""
    from timeproof.base.digests import Digest

    ref = publish(small, "float64")
    path = break_hard_link(small.root / ref.folder / f"witness_{ref.tag}_float64.npz")
    with path.open("wb") as sink:
        reference.write(sink, output=LAST_BIT)

    def edit(metadata: dict[str, Any]) -> None:
        for entry in metadata["files"]:
            if entry["role"] == "witness":
                data = path.read_bytes()
                entry.update(size=len(data), sha256=Digest.of(data).hex)

    reseal(small.root / ref.metadata, edit)
    found, result, _ = replay_one(small, ref, saying(LAST_BIT, LAST_BIT, cpu="another CPU"))
    assert found.verdict is Verdict.rounding
    assert found.witness is not None
    assert found.witness.verdict is Verdict.altered
    assert not result.passes()


def test_an_artifact_keeps_its_own_thresholds(small):
    ref = publish(small, thresholds={"rounding": 0.5})
    found, _, _ = replay_one(small, ref, saying(LAST_BIT))
    assert found.verdict is Verdict.drift
    reseal(small.root / ref.metadata, lambda m: m.update(thresholds={"broken": 0}))
    found, result, _ = replay_one(small, ref, saying(LAST_BIT))
    assert found.verdict is Verdict.altered
    assert result.exit_code == 3
    assert "thresholds" in found.reason


def test_an_emulated_witness_without_an_emulator_bears_none_and_stops_nobody(small, monkeypatch):
    monkeypatch.setenv("TIMEPROOF_QEMU", "/nowhere/qemu-x86_64")
    ref = publish(small, "emulated")
    found, result, engine = replay_one(small, ref, saying(LAST_BIT, cpu="another CPU"))
    assert found.verdict is Verdict.rounding
    assert found.witness is not None
    assert found.witness.verdict is Verdict.lost
    assert "qemu" in found.witness.summary
    assert not result.passes()
    assert len(engine.specs) == 1


def test_the_cheapest_witness_that_holds_is_enough(small, monkeypatch):
    monkeypatch.setenv("TIMEPROOF_QEMU", "/nowhere/qemu-x86_64")
    ref = publish(small, "float64", "emulated")
    found, _, engine = replay_one(small, ref, saying(LAST_BIT, WIDE, cpu="another CPU"))
    assert found.witness is not None
    assert found.witness.kind == "float64"
    assert len(engine.specs) == 2
    found, _, _ = replay_one(small, ref, saying(LAST_BIT, LAST_BIT, cpu="another CPU"))
    assert found.witness is not None
    assert (found.witness.kind, found.witness.holds) == ("float64", False), "it said more than the lost one"


def test_small_archives_are_whole(small: Archive, tmp_path: Path):
    publish(small, "float64", "margin")
    assert verify(small).ok
