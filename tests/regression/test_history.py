"""The history of one artifact, in words that a user reads at a glance."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timeproof.compare.verdict import Verdict
from timeproof.regression.history import sentence, spans

SAME, REFUSED, BROKEN = Verdict.identical, Verdict.refused, Verdict.broken


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            [("2.2.3", SAME), ("3.3.5", SAME), ("4.0.0", REFUSED), ("4.1.0", SAME), ("4.7.0", SAME)],
            "identical up to LightGBM 3.3.5, refused by 4.0.0, identical again from 4.1.0",
        ),
        ([("4.7.0", SAME), ("3.3.5", SAME)], "identical from LightGBM 3.3.5 to 4.7.0"),
        ([("4.7.0", SAME)], "identical in LightGBM 4.7.0"),
        (
            [("1.7.6", BROKEN), ("2.1.4", BROKEN), ("10.0", SAME)],
            "answers otherwise up to LightGBM 2.1.4, identical in 10.0",
        ),
        ([("3.3.5", SAME), ("4.0.0", REFUSED)], "identical in LightGBM 3.3.5, refused by 4.0.0"),
        ([], ""),
    ],
)
def test_the_sentence(found, said):
    assert sentence("lightgbm", spans(found)) == said


def test_of_two_environments_with_one_version_the_worse_counts():
    assert [s.verdict for s in spans([("4.0.0", SAME), ("4.0.0", REFUSED)])] == [REFUSED]


def test_versions_are_ordered_as_versions():
    assert spans([("10.0", SAME), ("9.1", SAME)])[0].versions == ("9.1", "10.0")


pairs = st.lists(
    st.tuples(st.sampled_from(["1.0", "1.1", "2.0", "10.0", "odd"]), st.sampled_from(list(Verdict)[1:])),
    max_size=8,
)


@given(pairs)
def test_every_version_stands_in_one_span_and_neighbours_differ(found):
    history = spans(found)
    versions = [v for s in history for v in s.versions]
    assert sorted(versions) == sorted({v for v, _ in found})
    assert all(a.verdict is not b.verdict for a, b in pairwise(history))
    assert spans(reversed(found)) == history
