"""The workers of a cluster, as the coordinator knows them: greeted, at rest, gone. Gives out no work."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timeproof.base import strictjson
from timeproof.base.progress import Progress
from timeproof.errors import EngineLost, TimeproofError
from timeproof.regression.executors.dask.connection import ADVICE, Connection, answer
from timeproof.regression.executors.dask.worker_tasks import greet
from timeproof.version import VERSION

_REST = 5.0  # seconds before a worker that can't work is greeted again


@dataclass(slots=True)
class Worker:
    """One worker. It is given work once it has answered the greeting well."""

    address: str
    threads: int
    ready: bool = False
    failure: str = ""  # why it can't work
    greeting: Any = None  # a future, until it answered
    again: float = 0.0  # when it may be greeted again, on our clock

    @property
    def host(self) -> str:
        return self.address.rpartition("://")[2].rpartition(":")[0]

    def back_off(self) -> None:
        self.ready, self.again = False, time.monotonic() + _REST


class Workers:
    """Every worker of one scheduler."""

    def __init__(
        self, connection: Connection, asked: Mapping[str, Any], name: str, progress: Progress
    ) -> None:
        """Know nobody yet.

        Args:
            asked: what a greeting asks for: see `working.greet`.
            name: what the keys of our tasks begin with.
        """
        self._connection, self._asked, self._progress = connection, strictjson.compact(asked), progress
        self._name, self._count = name, 0
        self._workers: dict[str, Worker] = {}
        self._bereaved: set[str] = set()  # hosts on which a worker died, and nobody has looked since
        self._alone = time.monotonic()  # since when nobody is ready

    @property
    def ready(self) -> list[Worker]:
        return [w for w in self._workers.values() if w.ready]

    def get(self, address: str) -> Worker | None:
        return self._workers.get(address)

    def see(self) -> bool:
        """Look who is there; greet newcomers. False where the scheduler does not answer: nothing is known."""
        there = self._connection.workers()
        if not self._connection.alive:
            return False
        for address in set(self._workers) - set(there):
            del self._workers[address]
        for address, threads in there.items():
            self._greet(self._workers.setdefault(address, Worker(address, threads)))
        return True

    def forget_all(self) -> None:
        self._workers.clear()

    def _greet(self, worker: Worker) -> None:
        if worker.ready or time.monotonic() < worker.again:
            return
        if worker.greeting is None:
            self._count += 1
            key = f"{self._name}-greet-{self._count}"
            worker.greeting = self._connection.submit(greet, self._asked, worker=worker.address, key=key)
            return
        if not worker.greeting.done():
            return
        said, worker.greeting = answer(worker.greeting), None
        worker.failure = _why_not(said, worker.address)
        if worker.failure:
            worker.back_off()
            self._progress.note(f"the worker {worker.address} can't be used: {worker.failure}")
        else:
            worker.ready = True
            self._bereaved.discard(worker.host)

    def host_lost(self, address: str) -> None:
        """A worker died on a piece: somebody on its host has to look what it left."""
        self._bereaved.add(Worker(address, 0).host)

    def await_cleanup(self, seconds: float) -> None:
        """Have each host on which a worker died looked at, by whoever is there or comes back in time."""
        end = time.monotonic() + seconds
        for worker in self.ready:
            worker.ready = worker.host not in self._bereaved
        while self._bereaved and time.monotonic() < end and self.see():
            self._connection.heard(0.2)
        for host in sorted(self._bereaved):
            self._progress.note(
                f"a worker on {host} died, and none has come back: 'timeproof doctor --reap' there removes"
                " a container that it may have left"
            )

    def require(self, patience: float) -> None:
        """Raise EngineLost where no worker has been ready for longer than `patience` seconds."""
        if self.ready:
            self._alone = time.monotonic()
        elif time.monotonic() - self._alone > patience:
            reasons = [f"{w.address}: {w.failure}" for w in self._workers.values() if w.failure]
            raise EngineLost(
                f"no worker of {self._connection.scheduler} can work"
                + (f" ({'; '.join(reasons)})" if reasons else ": there is none"),
                advice=ADVICE,
            )


def _why_not(said: Any, worker: str) -> str:
    """Why a worker can't be used, by its answer to the greeting; "" where it can."""
    if isinstance(said, TimeproofError):
        return said.message
    told = strictjson.loads(said.encode(), worker)
    if told["toolkit"] != VERSION:
        return f"it runs timeproof {told['toolkit']}, and this is {VERSION}"
    return str(told["failed"])
