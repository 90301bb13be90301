"""The baseline file: what is promised and declared, written so that people can review it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.regress_making import LGB, OLD, cell, report

from timeproof.compare.verdict import Verdict
from timeproof.errors import Malformed, NewerSchema
from timeproof.regression.baseline import Baseline, Expectation, of_report, updated
from timeproof.regression.report import Report


def test_an_update_replaces_what_was_run_and_keeps_the_rest():
    known = Baseline(
        {LGB: {"lightgbm-3.3.5": Verdict.identical, "lightgbm-4.0.0": Verdict.identical}},
        (Expectation("*", "*", "why"),),
    )
    new = updated(known, report(cell("refused"), cell("lost", environment=OLD)))
    assert new.cells == {LGB: {"lightgbm-3.3.5": Verdict.identical, "lightgbm-4.0.0": Verdict.refused}}
    assert new.expected == known.expected


verdicts = st.sampled_from([v for v in Verdict if v is not Verdict.not_applicable])
rows = st.dictionaries(st.text(min_size=1, max_size=8), verdicts, min_size=1, max_size=4)
words = st.text(min_size=1, max_size=12)
baselines = st.builds(
    lambda cells, expected: Baseline(cells, tuple(expected)),
    st.dictionaries(words, rows, max_size=4),
    st.lists(st.builds(Expectation, words, words, words, st.sampled_from(["", "refused"])), max_size=3),
)


@given(baselines)
def test_a_baseline_comes_back_from_its_bytes(baseline):
    data = baseline.to_bytes()
    assert Baseline.parse(data, "b") == baseline
    assert Baseline.parse(data, "b").to_bytes() == data


def test_the_file_is_sorted_as_people_count():
    cells = {f"grid-size-8/lightgbm/v{n}": {"b": Verdict.identical, "a": Verdict.identical} for n in (10, 9)}
    told = json.loads(Baseline(cells).to_bytes())
    assert list(told["cells"]) == ["grid-size-8/lightgbm/v9", "grid-size-8/lightgbm/v10"]
    assert list(told["cells"]["grid-size-8/lightgbm/v9"]) == ["a", "b"]


def test_a_report_is_a_baseline_too():
    made = report(cell("refused"))
    assert Baseline.parse(made.to_bytes(), "r") == of_report(made)
    assert Report.parse(made.to_bytes(), "r") == made


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"cells": {"a": {"e": "fine"}}}, "cells.a.e"),
        ({"cells": {"a": "identical"}}, "cells.a"),
        ({"cells": []}, "cells"),
        ({"expected": {}}, "expected"),
        ({"expected": [{"artifact": "*", "environment": "*"}]}, r"expected\[0\]"),
        ({"expected": [{"artifact": "*", "environment": "*", "reason": ""}]}, r"expected\[0\]"),
        ({"expected": [{"artifact": "*", "environment": "*", "reason": "x", "verdict": "bad"}]}, "verdict"),
    ],
)
def test_a_bad_baseline_is_refused_by_field(value, where):
    data = json.dumps({"kind": "timeproof-baseline", "schema": 1} | value).encode()
    with pytest.raises(Malformed, match=where):
        Baseline.parse(data, "b")


def test_what_is_no_baseline_or_too_new_is_said():
    with pytest.raises(Malformed, match="neither"):
        Baseline.parse(b"{}", "b")
    with pytest.raises(NewerSchema):
        Baseline.parse(b'{"kind": "timeproof-baseline", "schema": 2}', "b")
    with pytest.raises(NewerSchema):
        Report.parse(b'{"kind": "timeproof-regression", "schema": 2}', "b")
