"""Running batches on an existing Dask cluster, whose workers hold an engine and this package.

Each piece is given to one named worker, so that Dask itself never runs it again: how often an artifact is
tried, and what becomes of one that takes its worker with it, `dispatch` decides.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from timeproof import strictjson
from timeproof.archive.layout import is_address
from timeproof.archive.model import ImageRecord
from timeproof.errors import BadArchive, EngineLost, TimeproofError
from timeproof.limits import LIMITS, Limits
from timeproof.progress import SILENT, Progress
from timeproof.regress.batch import Batch
from timeproof.regress.dispatch import Dispatch
from timeproof.regress.executor import Deliver, Provided
from timeproof.regress.link import ADVICE, Link, WorkerDied, answer, forget
from timeproof.regress.result import Cell
from timeproof.regress.working import greet, work
from timeproof.version import VERSION

_DIED = "its worker died while it ran"
_LOOK = 0.5  # seconds between looks at who is there
_REST = 5.0  # seconds before a worker whose engine failed is greeted again


@dataclass(slots=True)
class _Worker:
    """One worker, from its greeting on."""

    address: str
    threads: int
    greeting: Any = None  # a future, until it answered
    ready: bool = False
    failure: str = ""  # why it can't work
    again: float = 0.0  # when it is greeted again, on our clock


@dataclass(slots=True)
class _Out:
    """One piece that is with a worker."""

    batch: Batch
    worker: str
    future: Any
    process: int = 0  # the worker's, once it began


class Cluster:
    """A Dask cluster. See `executor.Executor`."""

    name = "cluster"

    def __init__(
        self,
        scheduler: str,
        archive: str,
        *,
        registry: str = "",
        image: str = "ready",
        engine: str | None = None,
        limits: Limits = LIMITS,
        progress: Progress = SILENT,
    ) -> None:
        """Connect.

        Args:
            scheduler: `tcp://HOST:PORT`, or `tls://…` with Dask's own configuration of certificates.
            archive: its folder as every worker sees it, or a remote address.
            registry, image: how a worker gets an image: see `images.provide`.
            engine: which one a worker takes: see `engine_named`.

        Raises EngineMissing: Dask is not installed, or no scheduler answers.
        """
        self.archive = archive if is_address(archive) else os.path.abspath(archive)
        self.registry, self.image, self.engine = registry, image, engine
        self.limits, self.progress = limits, progress
        self.link = Link(scheduler)

    def close(self) -> None:
        self.link.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def width(self) -> int:
        return max(1, sum(self.link.workers().values()))

    def run(
        self,
        batches: Sequence[Batch],
        records: Mapping[str, ImageRecord],
        deliver: Deliver,
        provided: Provided,
    ) -> None:
        if not batches:
            return
        _Run(self, batches, records, deliver, provided).to_its_end()


class _Run:
    """One run of some batches: all that is decided happens in one thread."""

    def __init__(
        self,
        cluster: Cluster,
        batches: Sequence[Batch],
        records: Mapping[str, ImageRecord],
        deliver: Deliver,
        provided: Provided,
    ) -> None:
        self._cluster, self._link, self._records = cluster, cluster.link, records
        self._deliver, self._provided = deliver, provided
        self._dispatch = Dispatch(batches)
        self._name = f"timeproof-{secrets.token_hex(8)}"
        self._count = 0
        self._workers: dict[str, _Worker] = {}
        self._out: dict[str, _Out] = {}
        self._sources: set[str] = set()
        self._alone = time.monotonic()  # since when nobody is ready

    def to_its_end(self) -> None:
        try:
            while not self._dispatch.done:
                if not self._link.alive:
                    self._connection_lost()
                self._look()
                self._give()
                self._listen(_LOOK)
                self._collect()
        finally:
            for out in self._out.values():
                forget(out.future)

    def _connection_lost(self) -> None:
        """The scheduler has dropped our tasks: their workers give up, and they are given out anew."""
        for out in self._out.values():
            self._dispatch.returned(out.batch)
        self._out.clear()
        self._workers.clear()
        self._link.again(self._cluster.limits.cluster_patience, self._cluster.progress)

    # --- workers ------------------------------------------------------------------------------

    def _look(self) -> None:
        there = self._link.workers()
        if not self._link.alive:
            return  # what it says may be old: nobody is taken for dead by it
        for address in set(self._workers) - set(there):
            del self._workers[address]
        for key, out in list(self._out.items()):
            if out.worker not in there:
                self._gone(key, _DIED)
        for address, threads in there.items():
            self._greeted(self._workers.setdefault(address, _Worker(address, threads)))
        self._patience()

    def _greeted(self, worker: _Worker) -> None:
        if worker.ready or time.monotonic() < worker.again:
            return
        if worker.greeting is None:
            told = {"archive": self._cluster.archive, "engine": self._cluster.engine}
            worker.greeting = self._submit(greet, strictjson.compact(told), worker.address, "greet")
            return
        if not worker.greeting.done():
            return
        said, worker.greeting = answer(worker.greeting), None
        worker.failure = _why_not(said, worker.address)
        worker.ready = not worker.failure
        if worker.failure:
            worker.again = time.monotonic() + _REST
            self._cluster.progress.note(f"the worker {worker.address} can't be used: {worker.failure}")

    def _patience(self) -> None:
        """Give up where no worker has been ready for too long. Raises EngineLost / EngineMissing."""
        ready = [w for w in self._workers.values() if w.ready]
        if ready:
            self._alone = time.monotonic()
            for name, (why, cells) in self._dispatch.hopeless(w.address for w in ready).items():
                self._provided(name, "", why)
                self._lose(cells)
        elif time.monotonic() - self._alone > self._cluster.limits.cluster_patience:
            reasons = [f"{w.address}: {w.failure}" for w in self._workers.values() if w.failure]
            raise EngineLost(
                f"no worker of {self._link.scheduler} can work"
                + (f" ({'; '.join(reasons)})" if reasons else ": there is none"),
                advice=ADVICE,
            )

    # --- pieces -------------------------------------------------------------------------------

    def _give(self) -> None:
        busy = [out.worker for out in self._out.values()]
        for worker in self._workers.values():
            for _ in range(worker.threads - busy.count(worker.address)):
                batch = self._dispatch.take(worker.address) if worker.ready else None
                if batch is None:
                    break
                future = self._submit(work, self._order(batch), worker.address, "work")
                if future is None:
                    self._dispatch.returned(batch)
                    return
                self._out[future.key] = _Out(batch, worker.address, future)

    def _order(self, batch: Batch) -> str:
        limits = self._cluster.limits
        return strictjson.compact(
            {
                "toolkit": VERSION,
                "archive": self._cluster.archive,
                "registry": self._cluster.registry,
                "image": self._cluster.image,
                "engine": self._cluster.engine,
                "environment": batch.environment,
                "checksum": self._records[batch.environment].checksum,
                "profile": batch.profile.model_dump(mode="json"),
                "refs": list(batch.refs),
                "attempt": batch.attempt,
                "limits": {f.name: v for f, v in zip(fields(limits), asdict(limits).values(), strict=True)},
            }
        )

    def _submit(self, act: Any, argument: str, worker: str, what: str) -> Any:
        """Give one task to one worker; None where the connection is gone."""
        self._count += 1
        return self._link.submit(act, argument, worker=worker, key=f"{self._name}-{what}-{self._count}")

    def _listen(self, seconds: float) -> None:
        """Take what was said, as it comes; return after `seconds`, or as soon as a piece is done."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            event = self._link.heard(min(left, 0.05))
            if event is None:
                if any(out.future.done() for out in self._out.values()):
                    return
                continue
            key = str(event.get("key"))
            out = self._out.get(key)
            if out is None or not key.startswith(self._name):
                continue  # of another run, or of a piece that was given up
            process = int(event.get("process", 0))
            if out.process and process != out.process:
                # Dask gave it to a successor of the same address.
                self._gone(key, _DIED)
                continue
            out.process = process
            with suppress(BadArchive):  # a line that was torn comes whole at the end
                self._said(out, strictjson.loads(str(event.get("line")).encode(), "a line"))

    def _said(self, out: _Out, value: Any) -> None:
        if "cell" in value:
            cell = Cell.model_validate(value["cell"])
            self._dispatch.know(*cell.key)
            self._deliver(cell, value["machine"])
        elif "provided" in value and out.batch.environment not in self._sources:
            self._sources.add(out.batch.environment)
            self._provided(out.batch.environment, value["provided"], "")

    def _collect(self) -> None:
        for key, out in list(self._out.items()):
            if out.future.done():
                self._ended(key, out)

    def _ended(self, key: str, out: _Out) -> None:
        """A piece's task is over, in one way or another."""
        if out.future.cancelled():
            del self._out[key]
            self._dispatch.returned(out.batch)
            return
        told = answer(out.future)
        if isinstance(told, WorkerDied):
            self._gone(key, _DIED)
            return
        del self._out[key]
        if isinstance(told, TimeproofError):
            self._lose(self._dispatch.failed(out.batch, told.message))
            return
        last: Mapping[str, Any] = {}
        for line in told:
            last = strictjson.loads(line.encode(), "a line", limit=LIMITS.report_bytes)
            self._said(out, last)
        if "ended" in last:
            code = last["ended"]
            self._lose(self._dispatch.died(out.batch, f"the process that ran it ended with exit code {code}"))
        elif "failed" not in last:
            self._lose(self._dispatch.finished(out.batch))
        elif last["at"] == "image":
            self._dispatch.without_image(out.batch, out.worker, last["failed"])
        else:
            self._lose(self._dispatch.failed(out.batch, last["failed"]))
            if last["at"] == "engine" and (worker := self._workers.get(out.worker)):
                worker.ready, worker.again = False, time.monotonic() + _REST

    def _gone(self, key: str, reason: str) -> None:
        out = self._out.pop(key)
        forget(out.future)
        self._lose(self._dispatch.died(out.batch, reason))

    def _lose(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self._deliver(cell, {})


def _why_not(said: Any, worker: str) -> str:
    """Why a worker can't be used, by its answer to the greeting; "" where it can."""
    if isinstance(said, TimeproofError):
        return said.message
    told = strictjson.loads(said.encode(), worker)
    if told["toolkit"] != VERSION:
        return f"it runs timeproof {told['toolkit']}, and this is {VERSION}"
    return str(told["failed"])
