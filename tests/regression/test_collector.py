"""Cells come in any order, more than once, and from anybody: what is kept does not depend on it."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from support.regress_making import cell

from timeproof.compare.verdict import Verdict
from timeproof.regression.collector import Collector, merge

FINDINGS = [str(v) for v in Verdict if v is not Verdict.not_applicable]
cells = st.builds(
    lambda verdict, answer: cell(verdict, answer=answer),
    st.sampled_from(FINDINGS),
    st.sampled_from([None, "a" * 64, "b" * 64]),
)


def kept(delivered) -> object:
    collector = Collector()
    for one in delivered:
        collector.deliver(one, {})
    return collector.cells


@given(st.lists(cells, min_size=1, max_size=5), st.randoms())
def test_the_verdict_does_not_depend_on_the_order(delivered, random):
    there = list(delivered)
    random.shuffle(there)
    verdicts = [{k: c.verdict for k, c in kept(order).items()} for order in (delivered, there)]
    assert verdicts[0] == verdicts[1]


@given(cells)
def test_delivering_twice_is_delivering_once(one):
    assert kept([one, one]) == kept([one])


@given(cells, cells)
def test_two_answers_are_never_a_pass(one, other):
    merged = merge(one, other)
    known = {c.verdict for c in (one, other)} - {Verdict.lost}
    if len(known) == 2 or (
        known and one.answer != other.answer and Verdict.lost not in {one.verdict, other.verdict}
    ):
        assert merged.verdict is Verdict.nondeterministic


@given(cells)
def test_lost_gives_way_to_whatever_is_known(one):
    gone = cell("lost")
    assert merge(gone, one).verdict is one.verdict
    assert merge(one, gone).verdict is one.verdict


def test_a_conflict_names_both_answers():
    merged = merge(cell("identical", answer="a" * 64), cell("identical", answer="b" * 64))
    assert "aaaaaaaaaaaa" in merged.reason
    assert "bbbbbbbbbbbb" in merged.reason


def test_every_thread_is_heard_and_what_is_new_is_kept_once():
    seen = []
    collector = Collector(lambda one, machine: seen.append((one.artifact, dict(machine))))
    names = [f"grid-size-8/lightgbm/v{n}" for n in range(1, 41)]

    def deliver(cpu: str) -> None:
        for name in names:
            collector.deliver(cell(artifact=name), {"cpu": cpu})

    threads = [threading.Thread(target=deliver, args=(f"cpu {k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a for a, _ in seen) == sorted(names)
    assert all(collector.machines[c.machine]["cpu"].startswith("cpu ") for c in collector.cells.values())
