"""The scale's figures, and which verdicts a caller may put up with."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from timeproof.compare.compare import compare
from timeproof.compare.verdict import THRESHOLDS, Thresholds, Verdict, worst
from timeproof.errors import BadRequest


@pytest.mark.parametrize(
    ("dtype", "computed_in", "relative", "verdict"),
    [
        # One and two steps of a float16 below 1: 4.9e-4 and 9.8e-4 of the scale.
        ("<f2", None, 2.0**-11, Verdict.drift),
        ("<f2", None, 2.0**-10, Verdict.drift),
        ("<f2", None, 2.0**-9, Verdict.broken),
        ("<f4", None, 2.0**-11, Verdict.outliers),
        ("<f4", None, 2.0**-10, Verdict.outliers),
        ("<f4", "bfloat16", 2.0**-11, Verdict.drift),
        ("<f4", "bfloat16", 2.0**-9, Verdict.broken),
    ],
)
def test_sixteen_bits_have_a_drift_of_their_own(dtype, computed_in, relative, verdict) -> None:
    reference = np.ones(100, dtype)
    other = (reference - np.array(relative, dtype)).astype(dtype)
    assert compare(reference, other, computed_in=computed_in).verdict is verdict


@pytest.mark.parametrize("name", ["drift", "drift_16bit"])
def test_no_drift_goes_beyond_broken(name: str) -> None:
    assert getattr(Thresholds.of({name: THRESHOLDS.broken}), name) == THRESHOLDS.broken
    with pytest.raises(BadRequest, match="go beyond the one for broken"):
        Thresholds.of({name: THRESHOLDS.broken * 1.01})


@pytest.mark.parametrize(("verdict", "allowed"), list(itertools.product(Verdict, Verdict)))
def test_only_what_was_graded_is_allowed_and_allows(verdict: Verdict, allowed: Verdict) -> None:
    graded = ["identical", "rounding", "drift", "outliers", "broken"]
    expected = verdict == "identical" or (
        verdict in graded and allowed in graded and graded.index(verdict) <= graded.index(allowed)
    )
    assert verdict.allowed_by(allowed) is expected


def test_nothing_compared_is_nothing_proven() -> None:
    assert worst([]) is Verdict.broken
    assert worst([Verdict.identical, Verdict.drift, Verdict.rounding]) is Verdict.drift
