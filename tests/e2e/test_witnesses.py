"""Witnesses on a real engine: recorded when sealing, and asked where other kernels round otherwise."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.archive_making import copy_archive, reseal

from timeproof.compare.verdict import Verdict
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.replaying.flow import replay
from timeproof.runs.profiles import profile_named
from timeproof.store.layout import Archive
from timeproof.store.read import read_metadata
from timeproof.store.schema.records import WitnessOptions
from timeproof.store.verify import verify

pytestmark = pytest.mark.container


@dataclass(frozen=True, slots=True)
class Wide:
    """A copy of the sealed archive with a network of long sums, and its ONNX copy as a model of its own."""

    archive: Archive
    net: Any  # Archived
    graph: Any


@pytest.fixture(scope="module")
def wide(sealed, tmp_path_factory) -> Wide:
    import torch
    from wide_net import WideNet

    import timeproof

    archive = Archive(copy_archive(sealed.root, tmp_path_factory.mktemp("wide") / "archive"))
    torch.manual_seed(0)
    x = np.random.default_rng(0).random((31, 1, 8, 8), dtype=np.float32)
    more = {"grid_size": 4, "root": archive.root, "environment": sealed.environment}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while it exports
        net = timeproof.archive(WideNet().eval(), {"pictures": x}, thresholds={"rounding": 48}, **more)
    copy = archive.root / net.ref.folder / net.metadata.copies[0].file
    (name,) = [i["name"] for i in net.metadata.copies[0].facts["inputs"]]
    return Wide(archive, net, timeproof.archive(copy, {name: x}, **more))


def test_what_is_sealed_has_the_witness_of_its_kind(sealed):
    kinds = {}
    for ref in sealed.archive.refs():
        metadata = read_metadata(sealed.archive, ref)
        kinds[ref.framework] = [w.kind for w in metadata.witnesses]
        assert not [n for n in metadata.notes if "witness" in n], metadata.notes
    assert kinds == {
        "pytorch": ["float64"],
        "onnx": ["float64"],
        "xgboost": ["margin"],
        "lightgbm": ["margin"],
    }


def test_a_witness_is_near_the_native_answer_and_is_not_it(wide):
    """It is the better answer of the two; how far the native one is from it is told."""
    for done in (wide.net, wide.graph):
        (witness,) = done.metadata.witnesses
        distance = witness.facts.distance
        assert distance is not None
        assert distance.verdict == "rounding", distance
        assert witness.outputs[0].sha256 != done.metadata.outputs[0].sha256
        assert witness.outputs[0].dtype == "<f4"
        assert (wide.archive.root / done.ref.folder / witness.file).is_file()
    assert wide.net.metadata.thresholds == {"rounding": 48}
    assert verify(wide.archive).ok


def _elsewhere(archive: Archive, done: Any, folder: Path) -> Archive:
    """A copy of the archive in which the artifact was sealed on another CPU."""
    copy = Archive(copy_archive(archive.root, folder / "elsewhere"))
    reseal(copy.root / done.ref.metadata, lambda m: m["machine"].update(cpu="a CPU of long ago"))
    return copy


def test_other_kernels_round_otherwise_and_the_witness_holds(wide, real_engine, tmp_path, monkeypatch):
    """The native profile takes this CPU's own kernels: what a replay on another CPU would meet."""
    monkeypatch.setenv("TIMEPROOF_QEMU", "/nowhere/qemu-x86_64")  # a simulated CPU would take minutes
    if "avx2" not in wide.net.metadata.machine.flags:
        pytest.skip("this CPU has no kernels beyond the portable ones")
    native = profile_named("native")
    copy = _elsewhere(wide.archive, wide.net, tmp_path)
    result = replay(copy, [wide.net.ref], real_engine, profile=native, tries=True)
    (one,) = result.replayed
    assert one.verdict is Verdict.rounding, one.sentence()
    assert one.witness is not None
    assert one.witness.holds, one.witness
    assert one.sentence().startswith("identical (float64 witness); native differs by ")
    assert one.elsewhere
    assert result.passes()
    assert not result.passes(strict=True)
    assert one.tried[0].way == "as recorded: portable"
    assert one.tried[0].verdict is Verdict.identical
    assert (one.tried[-1].way, one.tried[-1].verdict) == ("emulated: Nehalem", None)
    here = replay(wide.archive, [wide.net.ref], real_engine, profile=native)
    assert here.replayed[0].witnessed
    assert here.replayed[0].cause == "profile"
    assert not here.passes(), "on the recorded CPU the native answer was promised"


def test_a_model_that_narrows_on_the_way_has_no_witness_and_a_note_says_why(wide, sealed):
    import torch
    from wide_net import Narrowing

    import timeproof

    torch.manual_seed(0)
    x = np.zeros((3, 1, 8, 8), np.float32)
    more = {
        "grid_size": 5,
        "root": wide.archive.root,
        "environment": sealed.environment,
        "options": PyTorchOptions(onnx=False),
    }
    done = timeproof.archive(Narrowing().eval(), x, **more)
    assert done.metadata.witnesses == []
    assert any("no float64 witness" in note and "tanh" in note for note in done.metadata.notes)
    done = timeproof.archive(Narrowing().eval(), x, witness="none", **more)
    assert done.metadata.witnesses == []
    assert not any("witness" in note for note in done.metadata.notes)


@pytest.mark.slow
def test_an_emulated_witness_is_asked_on_its_simulated_cpu(wide, sealed, real_engine, tmp_path):
    """Recorded on request, with the emulator in the package store; it takes three simulated runs."""
    import torch
    from wide_net import WideNet

    import timeproof

    torch.manual_seed(0)
    x = np.random.default_rng(1).random((5, 1, 8, 8), dtype=np.float32)
    more = {
        "grid_size": 6,
        "root": wide.archive.root,
        "environment": sealed.environment,
        "options": PyTorchOptions(onnx=False),
    }
    done = timeproof.archive(WideNet().eval(), x, witness="emulated", **more)
    assert [w.kind for w in done.metadata.witnesses] == ["float64", "emulated"]
    witness = done.metadata.witnesses[1]
    (emulator,) = done.metadata.emulators
    assert witness.options == WitnessOptions(cpu="Nehalem", emulator=emulator.sha256)
    assert verify(wide.archive).ok
    if "avx2" not in done.metadata.machine.flags:
        pytest.skip("this CPU has no kernels beyond the portable ones")
    copy = _elsewhere(wide.archive, done, tmp_path)
    reseal(copy.root / done.ref.metadata, lambda m: m["witnesses"].pop(0))
    result = replay(copy, [done.ref], real_engine, profile=profile_named("native"))
    (one,) = result.replayed
    assert one.verdict is Verdict.rounding, one.sentence()
    assert one.witness is not None
    assert (one.witness.kind, one.witness.holds) == ("emulated", True), one.witness
    assert result.passes()
