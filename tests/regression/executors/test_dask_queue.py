"""Which piece goes where, and what becomes of those whose worker dies: rows 42 and 43, without a network."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from timeproof.compare.verdict import Verdict
from timeproof.regression.batch import Batch
from timeproof.regression.executors.dask.queue import ATTEMPTS, Dispatch
from timeproof.runs.profiles import profile_named

PORTABLE = profile_named("portable")


def batch(*refs: str, environment: str = "e") -> Batch:
    return Batch(environment, PORTABLE, refs)


def test_what_takes_its_worker_with_it_is_alone_from_then_on_and_lost_after_three():
    dispatch = Dispatch([batch("a", "killer", "b", "c")])
    first = dispatch.take("w1")
    dispatch.know("a", "e")
    assert dispatch.died(first, "its worker died") == []
    rest, alone = dispatch.take("w2"), dispatch.take("w3")
    assert (rest.refs, alone.refs, alone.attempt) == (("b", "c"), ("killer",), 2)
    assert dispatch.died(alone, "its worker died") == []
    alone = dispatch.take("w1")
    assert (alone.refs, alone.attempt) == (("killer",), 3)
    (cell,) = dispatch.died(alone, "its worker died")
    assert (cell.artifact, cell.verdict, cell.attempts) == ("killer", Verdict.lost, 3)
    assert cell.reason == "its worker died, 3 times"
    dispatch.know("b", "e")
    dispatch.know("c", "e")
    assert dispatch.finished(rest) == []
    assert dispatch.done


def test_what_was_answered_before_the_worker_died_is_not_run_again():
    dispatch = Dispatch([batch("a", "b")])
    out = dispatch.take("w")
    dispatch.know("a", "e")
    dispatch.know("b", "e")
    assert dispatch.died(out, "…") == []
    assert dispatch.done


def test_a_lost_connection_is_nobodys_fault_and_counts_nothing():
    dispatch = Dispatch([batch("a")])
    for _ in range(10):
        dispatch.returned(dispatch.take("w"))
    assert dispatch.take("w").attempt == 1


def test_an_image_that_one_worker_cannot_get_goes_to_another():
    dispatch = Dispatch([batch("a")])
    dispatch.without_image(dispatch.take("w1"), "w1", "no space left")
    assert dispatch.take("w1") is None
    assert dispatch.hopeless(["w1", "w2"]) == {}
    assert dispatch.take("w2").refs == ("a",)


def test_an_image_that_nobody_can_get_loses_its_cells_with_the_reason():
    dispatch = Dispatch([batch("a", "b"), batch("c", environment="other")])
    dispatch.without_image(dispatch.take("w1"), "w1", "the registry holds no such image")
    assert dispatch.hopeless([]) == {}  # nobody is here: that is another matter
    ((name, (why, cells)),) = dispatch.hopeless(["w1"]).items()
    assert (name, why) == ("e", "the registry holds no such image")
    assert [(c.artifact, c.verdict) for c in cells] == [("a", Verdict.lost), ("b", Verdict.lost)]
    assert dispatch.take("w1").environment == "other"


def test_a_piece_that_fails_is_tried_a_bounded_number_of_times():
    dispatch = Dispatch([batch("a")])
    for _ in range(ATTEMPTS - 1):
        assert dispatch.failed(dispatch.take("w"), "the engine failed") == []
    (cell,) = dispatch.failed(dispatch.take("w"), "the engine failed")
    assert (cell.verdict, cell.reason) == (Verdict.lost, "the engine failed")
    assert dispatch.done


KILLERS = st.sets(st.integers(0, 19))
FATES = st.lists(st.sampled_from(["run", "return", "fail", "die", "no image"]), max_size=60)


@settings(max_examples=200)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), KILLERS, FATES, st.randoms())
def test_every_artifact_ends_as_known_or_lost_whatever_happens(sizes, killers, fates, random):
    """Artifacts whose number is among `killers` always take their worker with them."""
    names = [str(k) for k in range(sum(sizes))]
    left = iter(names)
    batches = [
        batch(*(next(left) for _ in range(size)), environment=f"e{k % 2}") for k, size in enumerate(sizes)
    ]
    environment_of = {r: b.environment for b in batches for r in b.refs}
    dispatch = Dispatch(batches)
    known: set[str] = set()
    lost: dict[str, int] = {}
    died = dict.fromkeys(names, 0)
    workers = ["w1", "w2", "w3"]
    fates = list(fates)
    steps = 0

    def take_cells(cells):
        for cell in cells:
            assert cell.verdict is Verdict.lost
            assert cell.artifact not in known | set(lost)
            lost[cell.artifact] = cell.attempts

    while not dispatch.done:
        steps += 1
        assert steps < 2000, "it goes on for ever"
        for _, cells in dispatch.hopeless(workers).values():
            take_cells(cells)
        worker = random.choice(workers)
        out = dispatch.take(worker)
        if out is None:
            continue
        fate = fates.pop() if fates else "run"
        if fate == "no image":
            dispatch.without_image(out, worker, "why")
            continue
        if fate == "return":
            dispatch.returned(out)
            continue
        if fate == "fail":
            take_cells(dispatch.failed(out, "why"))
            continue
        for ref in out.refs:
            assert ref not in known | set(lost), "what is known is not run again"
            if fate == "die" or int(ref) in killers:
                died[ref] += 1
                take_cells(dispatch.died(out, "why"))
                break
            known.add(ref)
            dispatch.know(ref, environment_of[ref])
        else:
            take_cells(dispatch.finished(out))
    assert known | set(lost) == set(names)
    assert not known & set(lost)
    assert max(died.values()) <= ATTEMPTS
