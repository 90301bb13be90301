"""One artifact's answer against its reference: its own formats and figures count, for witnesses too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.archive_making import X, fill, metadata_of
from support.witness_making import NATIVE, WIDE
from support.witness_making import publish as publish_witnessed

from timeproof.compare.verdict import Verdict
from timeproof.replaying.grading import judge_outcome, judge_witness
from timeproof.runs.probe_stream import Outcome
from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata

LAST_BIT = {name: np.nextafter(array, np.float32(1)) for name, array in NATIVE.items()}


def outcome(ref: Ref, outputs: dict[str, Any]) -> Outcome:
    return Outcome(str(ref), failure=None, outputs={"native": outputs})


@pytest.mark.parametrize(("element", "verdict"), [("bfloat16", Verdict.drift), ("", Verdict.outliers)])
def test_what_was_computed_in_sixteen_bits_is_graded_so(small: Archive, element: str, verdict: Verdict):
    """NumPy has no bfloat16: the reference holds its values in float32, and the metadata says so."""
    ones = {"y": np.ones(100, "<f4")}
    with writer.draft(small, 5, "onnx") as draft:
        specs = [s.model_copy(update={"element": element}) for s in reference.specs_of("output", ones)]
        draft.publish(metadata_of(draft, fill(draft, b"a model", input=X, output=ones), outputs=specs))
    ref = draft.ref
    other = {"y": ones["y"] - np.float32(2.0**-11)}
    assert judge_outcome(small, ref, read_metadata(small, ref), outcome(ref, other)).verdict is verdict


@pytest.mark.parametrize(
    ("thresholds", "verdict"), [({}, Verdict.rounding), ({"rounding": 0.25}, Verdict.drift)]
)
def test_raw_margins_are_graded_by_the_artifacts_own_figures(small: Archive, thresholds, verdict):
    ref = publish_witnessed(small, "margin", framework="xgboost", thresholds=thresholds)
    result = judge_outcome(small, ref, read_metadata(small, ref), outcome(ref, LAST_BIT))
    assert result.verdict is verdict
    assert result.witness is not None
    assert result.witness.verdict is verdict


@pytest.mark.parametrize(
    ("thresholds", "verdict"), [({}, Verdict.rounding), ({"rounding": 0.25}, Verdict.drift)]
)
def test_a_further_witness_is_graded_by_them_too(small: Archive, thresholds, verdict):
    ref = publish_witnessed(small, "float64", thresholds=thresholds)
    metadata = read_metadata(small, ref)
    result = judge_outcome(small, ref, metadata, outcome(ref, LAST_BIT))
    other = {name: np.nextafter(array, np.float32(9)) for name, array in WIDE.items()}
    judge_witness(small, ref, metadata, result, "float64", outcome(ref, other))
    assert result.witness is not None
    assert result.witness.verdict is verdict
