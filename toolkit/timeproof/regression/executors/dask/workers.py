"""The workers of a cluster, as the coordinator knows them: greeted, backed off, gone. Gives out no work."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timeproof.base import strictjson
from timeproof.base.progress import Progress
from timeproof.errors import EngineLost, TimeproofError
from timeproof.regression.executors.dask.connection import ADVICE, Connection, outcome_of
from timeproof.regression.executors.dask.worker_tasks import greet
from timeproof.version import VERSION

_BACK_OFF = 5.0  # seconds before a worker that can't work is greeted again
_LOOK = 0.2  # seconds between looks at whether a worker has come back


@dataclass(slots=True)
class Worker:
    """One worker. It gets work once it has answered the greeting well."""

    address: str
    threads: int
    ready: bool = False
    failure: str = ""  # why it can't work
    greeting: Any = None  # a future, until it answered
    not_before: float = 0.0  # when it may be greeted again, on our clock

    @property
    def host(self) -> str:
        return self.address.rpartition("://")[2].rpartition(":")[0]

    def back_off(self) -> None:
        """Give it no work before its next greeting, some seconds from now."""
        self.ready, self.not_before = False, time.monotonic() + _BACK_OFF


class Workers:
    """Every worker of one scheduler."""

    def __init__(
        self, connection: Connection, greeting: Mapping[str, Any], name: str, progress: Progress
    ) -> None:
        """Begin without any worker.

        Args:
            greeting: what a greeting asks for: see `worker_tasks.greet`.
            name: what the keys of our tasks begin with.
        """
        self._connection, self._progress = connection, progress
        self._greeting = strictjson.compact(greeting)
        self._name, self._count = name, 0
        self._workers: dict[str, Worker] = {}
        self._lost_hosts: set[str] = set()  # on which a worker died, and where none has cleaned up since
        self._last_ready = time.monotonic()  # when a worker was ready last

    @property
    def ready(self) -> list[Worker]:
        return [w for w in self._workers.values() if w.ready]

    def get(self, address: str) -> Worker | None:
        return self._workers.get(address)

    def refresh(self) -> bool:
        """Look which workers there are; greet new ones. False where the scheduler does not answer."""
        threads_of = self._connection.workers()
        if not self._connection.alive:
            return False
        for address in set(self._workers) - set(threads_of):
            del self._workers[address]
        for address, threads in threads_of.items():
            self._greet(self._workers.setdefault(address, Worker(address, threads)))
        return True

    def forget_all(self) -> None:
        self._workers.clear()

    def _greet(self, worker: Worker) -> None:
        if worker.ready or time.monotonic() < worker.not_before:
            return
        if worker.greeting is None:
            self._count += 1
            key = f"{self._name}-greet-{self._count}"
            worker.greeting = self._connection.submit(greet, self._greeting, worker=worker.address, key=key)
            return
        if not worker.greeting.done():
            return
        reply, worker.greeting = outcome_of(worker.greeting), None
        worker.failure = _why_unusable(reply, worker.address)
        if worker.failure:
            worker.back_off()
            self._progress.note(f"the worker {worker.address} can't be used: {worker.failure}")
        else:
            worker.ready = True
            self._lost_hosts.discard(worker.host)  # a greeting removes what a predecessor left

    def host_lost(self, address: str) -> None:
        """A worker died on a batch: a worker on its host has to remove what it left."""
        self._lost_hosts.add(Worker(address, 0).host)

    def await_cleanup(self, seconds: float) -> None:
        """Wait until each host on which a worker died has been cleaned up by another worker there."""
        end = time.monotonic() + seconds
        for worker in self.ready:
            worker.ready = worker.host not in self._lost_hosts
        while self._lost_hosts and time.monotonic() < end and self.refresh():
            self._connection.next_event(_LOOK)
        for host in sorted(self._lost_hosts):
            self._progress.note(
                f"a worker on {host} died, and none has come back: 'timeproof doctor --reap' there removes"
                " a container that it may have left"
            )

    def require(self, patience: float) -> None:
        """Raise EngineLost where no worker has been ready for longer than `patience` seconds."""
        if self.ready:
            self._last_ready = time.monotonic()
        elif time.monotonic() - self._last_ready > patience:
            reasons = [f"{w.address}: {w.failure}" for w in self._workers.values() if w.failure]
            raise EngineLost(
                f"no worker of {self._connection.scheduler} can work"
                + (f" ({'; '.join(reasons)})" if reasons else ": there is none"),
                advice=ADVICE,
            )


def _why_unusable(reply: Any, worker: str) -> str:
    """Why a worker can't be used, by its reply to the greeting; "" where it can."""
    if isinstance(reply, TimeproofError):
        return reply.message
    facts = strictjson.loads(reply.encode(), worker)
    if facts["toolkit"] != VERSION:
        return f"it runs timeproof {facts['toolkit']}, and this is {VERSION}"
    return str(facts["failed"])
