"""Which batch goes where, and what becomes of those whose worker dies: rows 42 and 43, without a network."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.laws import examples

from timeproof.compare.verdict import Verdict
from timeproof.regression.batch import Batch
from timeproof.regression.executors.dask.queue import ATTEMPTS, BatchQueue
from timeproof.runs.profiles import profile_named

PORTABLE = profile_named("portable")


def batch(*refs: str, environment: str = "e") -> Batch:
    return Batch(environment, PORTABLE, refs)


def test_what_takes_its_worker_with_it_is_alone_from_then_on_and_lost_after_three():
    queue = BatchQueue([batch("a", "killer", "b", "c")])
    first = queue.take("w1")
    queue.know("a", "e")
    assert queue.died(first, "its worker died") == []
    rest, alone = queue.take("w2"), queue.take("w3")
    assert (rest.refs, alone.refs, alone.attempt) == (("b", "c"), ("killer",), 2)
    assert queue.died(alone, "its worker died") == []
    alone = queue.take("w1")
    assert (alone.refs, alone.attempt) == (("killer",), 3)
    (cell,) = queue.died(alone, "its worker died")
    assert (cell.artifact, cell.verdict, cell.attempts) == ("killer", Verdict.lost, 3)
    assert cell.reason == "its worker died, 3 times"
    queue.know("b", "e")
    queue.know("c", "e")
    assert queue.finished(rest) == []
    assert queue.done


def test_what_was_answered_before_the_worker_died_is_not_run_again():
    queue = BatchQueue([batch("a", "b")])
    out = queue.take("w")
    queue.know("a", "e")
    queue.know("b", "e")
    assert queue.died(out, "…") == []
    assert queue.done


def test_a_lost_connection_is_nobodys_fault_and_counts_nothing():
    queue = BatchQueue([batch("a")])
    for _ in range(10):
        queue.returned(queue.take("w"))
    assert queue.take("w").attempt == 1


def test_an_image_that_one_worker_cannot_get_goes_to_another():
    queue = BatchQueue([batch("a")])
    queue.without_image(queue.take("w1"), "w1", "no space left")
    assert queue.take("w1") is None
    assert queue.hopeless(["w1", "w2"]) == {}
    assert queue.take("w2").refs == ("a",)


def test_an_image_that_nobody_can_get_loses_its_cells_with_the_reason():
    queue = BatchQueue([batch("a", "b"), batch("c", environment="other")])
    queue.without_image(queue.take("w1"), "w1", "the registry holds no such image")
    assert queue.hopeless([]) == {}  # nobody is here: that is another matter
    ((name, (why, cells)),) = queue.hopeless(["w1"]).items()
    assert (name, why) == ("e", "the registry holds no such image")
    assert [(c.artifact, c.verdict) for c in cells] == [("a", Verdict.lost), ("b", Verdict.lost)]
    assert queue.take("w1").environment == "other"


def test_a_batch_that_fails_is_tried_a_bounded_number_of_times():
    queue = BatchQueue([batch("a")])
    for _ in range(ATTEMPTS - 1):
        assert queue.failed(queue.take("w"), "the engine failed") == []
    (cell,) = queue.failed(queue.take("w"), "the engine failed")
    assert (cell.verdict, cell.reason) == (Verdict.lost, "the engine failed")
    assert queue.done


KILLERS = st.sets(st.integers(0, 19))
FATES = st.lists(st.sampled_from(["run", "return", "fail", "die", "no image"]), max_size=60)


@examples(200)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), KILLERS, FATES, st.randoms())
def test_every_artifact_ends_as_known_or_lost_whatever_happens(sizes, killers, fates, random):
    """Artifacts whose number is among `killers` always take their worker with them."""
    names = [str(k) for k in range(sum(sizes))]
    left = iter(names)
    batches = [
        batch(*(next(left) for _ in range(size)), environment=f"e{k % 2}") for k, size in enumerate(sizes)
    ]
    environment_of = {r: b.environment for b in batches for r in b.refs}
    queue = BatchQueue(batches)
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

    while not queue.done:
        steps += 1
        assert steps < 2000, "it goes on for ever"
        for _, cells in queue.hopeless(workers).values():
            take_cells(cells)
        worker = random.choice(workers)
        out = queue.take(worker)
        if out is None:
            continue
        fate = fates.pop() if fates else "run"
        if fate == "no image":
            queue.without_image(out, worker, "why")
            continue
        if fate == "return":
            queue.returned(out)
            continue
        if fate == "fail":
            take_cells(queue.failed(out, "why"))
            continue
        for ref in out.refs:
            assert ref not in known | set(lost), "what is known is not run again"
            if fate == "die" or int(ref) in killers:
                died[ref] += 1
                take_cells(queue.died(out, "why"))
                break
            known.add(ref)
            queue.know(ref, environment_of[ref])
        else:
            take_cells(queue.finished(out))
    assert known | set(lost) == set(names)
    assert not known & set(lost)
    assert max(died.values()) <= ATTEMPTS
