"""What was promised, what was declared, and what fails for it."""

from __future__ import annotations

import pytest
from support.regress_making import LGB, NEW, OLD, TITLES, cell, report

from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest
from timeproof.regression.baseline import Baseline, Expectation
from timeproof.regression.judging import EXCUSED, check_fail_on, judge
from timeproof.regression.report import Report
from timeproof.replaying.policy import NEVER_ACCEPTED


def failing(judged: Report) -> list[str]:
    return [c.environment for c in judged.cells if c.fails]


def test_without_a_baseline_more_than_the_last_bits_fails():
    judged = judge(report(cell("rounding", environment=OLD), cell("drift")), None, None, None)
    assert failing(judged) == [NEW]
    assert not judged.passed
    assert judge(report(cell("rounding"), cell("drift", environment=OLD)), None, Verdict.broken, None).passed


def test_its_own_environment_promises_identity():
    judged = judge(report(cell("rounding", own=True)), None, None, None)
    assert failing(judged) == [NEW]
    assert judge(report(cell("rounding", own=True), origin="imported"), None, None, None).passed
    assert judge(report(cell("rounding", own=True)), None, Verdict.drift, None).passed, "said by the user"
    known = Baseline({LGB: {TITLES[NEW]: Verdict.rounding}})
    assert judge(report(cell("rounding", own=True)), known, None, "b").passed, "said by the baseline"


@pytest.mark.parametrize("was", ["identical", "rounding", "broken", "refused"])
@pytest.mark.parametrize("now", ["identical", "rounding", "broken", "refused"])
def test_with_a_baseline_only_what_is_worse_fails(was, now):
    judged = judge(report(cell(now)), Baseline({LGB: {TITLES[NEW]: Verdict(was)}}), None, "b")
    assert bool(failing(judged)) == (Verdict(now) > Verdict(was))
    changed = {True: "worse", False: "same" if was == now else "better"}
    assert judged.cells[0].change == changed[Verdict(now) > Verdict(was)]


@pytest.mark.parametrize("verdict", [str(v) for v in NEVER_ACCEPTED])
def test_what_nobody_knows_always_fails(verdict):
    known = Baseline({LGB: {TITLES[NEW]: Verdict(verdict)}}, (Expectation("*", "*", "we know"),))
    assert not judge(report(cell(verdict)), known, Verdict.lost, "b").passed


def test_a_declared_breakage_does_not_fail_and_one_that_went_away_is_told():
    known = Baseline(expected=(Expectation(LGB, "lightgbm-4.*", "LightGBM#6082", "refused"),))
    judged = judge(report(cell("refused")), known, None, "b")
    assert judged.passed
    assert judged.cells[0].expected == "LightGBM#6082"
    assert judged.gone == []
    better = judge(report(cell("identical")), known, None, "b")
    assert better.passed
    assert better.gone[0].found == "identical"
    other = judge(report(cell("crashed")), known, None, "b")
    assert not other.passed, "a crash was not what was declared"
    elsewhere = judge(report(cell("identical", environment=OLD)), known, None, "b")
    assert elsewhere.gone == [], "nothing was run there"


def test_cells_of_the_baseline_that_were_not_run_are_told():
    known = Baseline({LGB: {"lightgbm-3.3.5": Verdict.identical, "lightgbm-4.0.0": Verdict.identical}})
    assert judge(report(cell()), known, None, "b").absent == [[LGB, "lightgbm-3.3.5"]]


def test_nothing_run_is_nothing_passed():
    assert not judge(report(), None, None, None).passed


HOLDS, DIFFERS = {"holds": True, "verdict": "identical"}, {"holds": False, "verdict": "rounding"}


@pytest.mark.parametrize("verdict", ["rounding", "drift", "outliers", "broken", "refused"])
@pytest.mark.parametrize("witness", [None, HOLDS, DIFFERS, "holds", {"holds": "yes"}])
@pytest.mark.parametrize("other_cpu", [True, False, "yes"])
def test_in_its_own_environment_a_witness_excuses_the_same_answer_on_another_cpu(verdict, witness, other_cpu):
    facts = {"other_cpu": other_cpu} | ({"witness": witness} if witness is not None else {})
    judged = judge(report(cell(verdict, own=True, facts=facts)), None, None, None)
    excused = verdict in {"rounding", "drift"} and witness == HOLDS and other_cpu is True
    assert judged.passed == excused
    assert judged.cells[0].notes == ([EXCUSED] if excused else [])
    assert not judge(report(cell(verdict, own=True, facts=facts)), None, None, None, strict=True).passed


def test_a_witness_excuses_nothing_in_another_environment():
    """There another library answers: that its margins are identical says nothing of the rest."""
    facts = {"other_cpu": True, "witness": HOLDS}
    assert not judge(report(cell("drift", environment=OLD, facts=facts)), None, None, None).passed


def test_a_baseline_that_was_made_on_another_cpu_is_kept_by_a_witness():
    known = Baseline({LGB: {TITLES[NEW]: Verdict.identical}})
    facts = {"other_cpu": True, "witness": HOLDS}
    assert judge(report(cell("rounding", own=True, facts=facts)), known, None, "b").passed
    assert not judge(report(cell("rounding", own=True, facts={"witness": HOLDS})), known, None, "b").passed


def test_what_can_not_be_failed_on_is_refused():
    with pytest.raises(BadRequest, match="can't be failed on"):
        check_fail_on("identical")
    assert check_fail_on("crashed") is Verdict.crashed
