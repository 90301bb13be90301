"""What was promised, what was declared, and what fails for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from regress_making import cell

from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest, Malformed, NewerSchema
from timeproof.regression.baseline import (
    NEVER,
    Baseline,
    Expectation,
    check_fail_on,
    judge,
    of_report,
    updated,
)
from timeproof.regression.report import Cell, Report, ReportedArtifact, ReportedEnvironment

A, OLD, NEW = "grid-size-8/lightgbm/v1", "lightgbm-3.3.5-0123456789ab", "lightgbm-4.0.0-0123456789ab"
TITLES = {OLD: "lightgbm-3.3.5", NEW: "lightgbm-4.0.0"}


def report(*cells: Cell, origin: str = "sealed") -> Report:
    def site(name: str) -> ReportedEnvironment:
        more = {"dated": None, "created": "", "manifest": "", "platform": ""}
        return ReportedEnvironment(name=name, title=TITLES[name], frameworks={}, packages={}, **more)

    row = {"framework": "lightgbm", "framework_version": "4.0.0", "python": "3.11.7", "environment": NEW}
    return Report(
        schema=1,
        toolkit="0",
        archive="a",
        artifacts=[ReportedArtifact(ref=A, profile="portable", created="", origin=origin, **row)],
        environments=[site(OLD), site(NEW)],
        cells=list(cells),
    )


def failing(found: Report) -> list[str]:
    return [c.environment for c in found.cells if c.fails]


def test_without_a_baseline_more_than_the_last_bits_fails():
    found = judge(report(cell("rounding", environment=OLD), cell("drift")), None, None, None)
    assert failing(found) == [NEW]
    assert not found.passed
    assert judge(report(cell("rounding"), cell("drift", environment=OLD)), None, Verdict.broken, None).passed


def test_its_own_environment_promises_identity():
    found = judge(report(cell("rounding", own=True)), None, None, None)
    assert failing(found) == [NEW]
    assert judge(report(cell("rounding", own=True), origin="imported"), None, None, None).passed
    assert judge(report(cell("rounding", own=True)), None, Verdict.drift, None).passed, "said by the user"
    known = Baseline({A: {TITLES[NEW]: Verdict.rounding}})
    assert judge(report(cell("rounding", own=True)), known, None, "b").passed, "said by the baseline"


@pytest.mark.parametrize("was", ["identical", "rounding", "broken", "refused"])
@pytest.mark.parametrize("now", ["identical", "rounding", "broken", "refused"])
def test_with_a_baseline_only_what_is_worse_fails(was, now):
    found = judge(report(cell(now)), Baseline({A: {TITLES[NEW]: Verdict(was)}}), None, "b")
    assert bool(failing(found)) == (Verdict(now) > Verdict(was))
    changed = {True: "worse", False: "same" if was == now else "better"}
    assert found.cells[0].change == changed[Verdict(now) > Verdict(was)]


@pytest.mark.parametrize("verdict", [str(v) for v in NEVER])
def test_what_nobody_knows_always_fails(verdict):
    known = Baseline({A: {TITLES[NEW]: Verdict(verdict)}}, (Expectation("*", "*", "we know"),))
    assert not judge(report(cell(verdict)), known, Verdict.lost, "b").passed


def test_a_declared_breakage_does_not_fail_and_one_that_went_away_is_told():
    known = Baseline(expected=(Expectation(A, "lightgbm-4.*", "LightGBM#6082", "refused"),))
    found = judge(report(cell("refused")), known, None, "b")
    assert found.passed
    assert found.cells[0].expected == "LightGBM#6082"
    assert found.gone == []
    better = judge(report(cell("identical")), known, None, "b")
    assert better.passed
    assert better.gone[0].found == "identical"
    other = judge(report(cell("crashed")), known, None, "b")
    assert not other.passed, "a crash was not what was declared"
    elsewhere = judge(report(cell("identical", environment=OLD)), known, None, "b")
    assert elsewhere.gone == [], "nothing was run there"


def test_cells_of_the_baseline_that_were_not_run_are_told():
    known = Baseline({A: {"lightgbm-3.3.5": Verdict.identical, "lightgbm-4.0.0": Verdict.identical}})
    assert judge(report(cell()), known, None, "b").absent == [[A, "lightgbm-3.3.5"]]


def test_an_update_replaces_what_was_run_and_keeps_the_rest():
    known = Baseline(
        {A: {"lightgbm-3.3.5": Verdict.identical, "lightgbm-4.0.0": Verdict.identical}},
        (Expectation("*", "*", "why"),),
    )
    new = updated(known, report(cell("refused"), cell("lost", environment=OLD)))
    assert new.cells == {A: {"lightgbm-3.3.5": Verdict.identical, "lightgbm-4.0.0": Verdict.refused}}
    assert new.expected == known.expected


def test_nothing_run_is_nothing_passed():
    assert not judge(report(), None, None, None).passed


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
    with pytest.raises(BadRequest, match="can't be failed on"):
        check_fail_on("identical")
