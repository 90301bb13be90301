"""Witnesses on a real engine: recorded when sealing, and asked where other kernels round otherwise."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_making import copy_archive, reseal

from timeproof.archive.layout import Archive
from timeproof.archive.verify import read_metadata, verify
from timeproof.replay.profile import profile_named
from timeproof.replay.replaying import replay
from timeproof.replay.verdict import Verdict

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
        distance = witness.facts["distance"]
        assert distance["verdict"] == "rounding", distance
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


def test_other_kernels_round_otherwise_and_the_witness_holds(wide, real_engine, tmp_path):
    """The native profile takes this CPU's own kernels: what a replay on another CPU would meet."""
    if "avx2" not in wide.net.metadata.machine["flags"]:
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
    more = {"grid_size": 5, "root": wide.archive.root, "environment": sealed.environment, "onnx": False}
    done = timeproof.archive(Narrowing().eval(), x, **more)
    assert done.metadata.witnesses == []
    assert any("no float64 witness" in note and "tanh" in note for note in done.metadata.notes)
    done = timeproof.archive(Narrowing().eval(), x, witness="none", **more)
    assert done.metadata.witnesses == []
    assert done.metadata.notes == []
