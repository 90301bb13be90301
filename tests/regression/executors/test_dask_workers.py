"""The workers of a cluster, as the coordinator knows them; the scheduler is one that answers from a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from timeproof.errors import EngineLost
from timeproof.regression.executors.dask import workers as workers_module
from timeproof.regression.executors.dask.workers import Workers
from timeproof.version import VERSION

ONE, TWO = "tcp://10.0.0.1:1", "tcp://10.0.0.2:1"


class Future:
    """A finished task."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def done(self) -> bool:
        return True

    def result(self, timeout: float) -> Any:
        return self._value


class Scheduler:
    """A connection whose scheduler has the workers that `present` lists, and gives each task its answer."""

    scheduler = "tcp://10.0.0.9:8786"
    alive = True

    def __init__(self, *present: str) -> None:
        self.present = list(present)
        self.replies: dict[str, dict[str, Any]] = {}
        self.greeted: list[str] = []
        self.on_wait: Callable[[], None] = lambda: None

    def workers(self) -> dict[str, int]:
        return dict.fromkeys(self.present, 1)

    def submit(self, act: object, argument: str, *, worker: str, key: str) -> Future:
        self.greeted.append(worker)
        return Future(json.dumps({"toolkit": VERSION, "failed": "", **self.replies.get(worker, {})}))

    def next_event(self, timeout: float) -> None:
        self.on_wait()


class Notes:
    """Takes what a user would read."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the workers go by, to be set."""
    now = [1000.0]
    monkeypatch.setattr(workers_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def of(scheduler: Scheduler, notes: Notes | None = None) -> Workers:
    return Workers(scheduler, {}, "run", notes or Notes())  # type: ignore[arg-type]


def refresh(workers: Workers) -> list[str]:
    """Look twice: the first look greets, the second takes the answer."""
    workers.refresh()
    workers.refresh()
    return sorted(w.address for w in workers.ready)


def test_a_worker_is_ready_once_it_has_answered_the_greeting(clock):
    scheduler = Scheduler(ONE, TWO)
    workers = of(scheduler)
    workers.refresh()
    assert workers.ready == []
    assert refresh(workers) == [ONE, TWO]
    assert scheduler.greeted == [ONE, TWO]


def test_one_that_can_not_work_is_named_and_greeted_again_later(clock):
    scheduler, notes = Scheduler(ONE, TWO), Notes()
    scheduler.replies = {ONE: {"failed": "no engine"}, TWO: {"toolkit": "0.0"}}
    workers = of(scheduler, notes)
    assert refresh(workers) == []
    assert notes.notes == [
        f"the worker {ONE} can't be used: no engine",
        f"the worker {TWO} can't be used: it runs timeproof 0.0, and this is {VERSION}",
    ]
    scheduler.replies = {}
    assert refresh(workers) == [], "it is left alone for some seconds"
    clock[0] += 6
    assert refresh(workers) == [ONE, TWO]


def test_one_that_backs_off_gets_no_work_before_its_next_greeting(clock):
    workers = of(Scheduler(ONE))
    refresh(workers)
    worker = workers.get(ONE)
    assert worker is not None
    worker.back_off()
    assert refresh(workers) == []
    clock[0] += 6
    assert refresh(workers) == [ONE]


def test_a_host_on_which_a_worker_died_is_cleaned_up_by_its_next_worker(clock):
    scheduler, notes = Scheduler(ONE, TWO), Notes()
    workers = of(scheduler, notes)
    refresh(workers)
    workers.host_lost(ONE)
    successor = "tcp://10.0.0.1:2"
    scheduler.on_wait = lambda: scheduler.present.__setitem__(slice(None), [successor, TWO])
    workers.await_cleanup(30.0)
    assert successor in scheduler.greeted, "whose greeting removes what is left"
    assert notes.notes == []


def test_a_worker_that_lives_on_that_host_cleans_up_at_once(clock):
    scheduler, notes = Scheduler(ONE, TWO), Notes()
    workers = of(scheduler, notes)
    refresh(workers)
    workers.host_lost("tcp://10.0.0.1:7")
    workers.await_cleanup(30.0)
    assert scheduler.greeted == [ONE, TWO, ONE]
    assert notes.notes == []


@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_the_wait_for_a_host_that_stays_away_is_bounded_and_says_what_to_do(clock, seconds):
    scheduler, notes = Scheduler(TWO), Notes()
    workers = of(scheduler, notes)
    refresh(workers)
    workers.host_lost(ONE)
    waits: list[float] = []

    def wait() -> None:
        waits.append(clock[0])
        clock[0] += 10

    scheduler.on_wait = wait
    workers.await_cleanup(seconds)
    assert len(waits) == seconds / 10
    (note,) = notes.notes
    assert note.startswith("a worker on 10.0.0.1 died, and none has come back: 'timeproof doctor --reap'")


def test_a_run_without_a_worker_ends_after_the_patience(clock):
    scheduler = Scheduler(ONE)
    scheduler.replies = {ONE: {"failed": "no engine"}}
    workers = of(scheduler)
    refresh(workers)
    clock[0] += 120
    workers.require(120.0)
    clock[0] += 1
    with pytest.raises(EngineLost, match=r"no worker of tcp://10.0.0.9:8786 can work \(tcp.*: no engine\)"):
        workers.require(120.0)
    workers.forget_all()
    with pytest.raises(EngineLost, match="there is none"):
        workers.require(120.0)
