"""Running batches on an existing Dask cluster, whose workers hold an engine and this package.

Each piece is given to one named worker, so that Dask itself never runs it again: how often an artifact is
tried, and what becomes of one that takes its worker with it, `queue` decides.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from timeproof.base import strictjson
from timeproof.base.limits import LIMITS, Limits
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import BadArchive, TimeproofError
from timeproof.regression.batch import Batch
from timeproof.regression.executors.dask.connection import Connection, WorkerDied, answer, forget
from timeproof.regression.executors.dask.queue import BatchQueue
from timeproof.regression.executors.dask.worker_tasks import work
from timeproof.regression.executors.dask.workers import Workers
from timeproof.regression.executors.protocol import Deliver, Provided
from timeproof.regression.report import Cell
from timeproof.store.layout import is_address
from timeproof.store.schema.v1 import EnvironmentRecord
from timeproof.version import VERSION

_LOOK = 0.5  # seconds between looks at who is there


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
        self.connection = Connection(scheduler)

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def width(self) -> int:
        return max(1, sum(self.connection.workers().values()))

    def run(
        self,
        batches: Sequence[Batch],
        records: Mapping[str, EnvironmentRecord],
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
        records: Mapping[str, EnvironmentRecord],
        deliver: Deliver,
        provided: Provided,
    ) -> None:
        self._cluster, self._connection, self._records = cluster, cluster.connection, records
        self._deliver, self._provided = deliver, provided
        self._queue = BatchQueue(batches)
        self._name = f"timeproof-{secrets.token_hex(8)}"
        self._count = 0
        asked = {"archive": cluster.archive, "engine": cluster.engine}
        self._workers = Workers(cluster.connection, asked, self._name, cluster.progress)
        self._out: dict[str, _Out] = {}
        self._sources: set[str] = set()

    def to_its_end(self) -> None:
        try:
            while not self._queue.done:
                if not self._connection.alive:
                    self._connection_lost()
                self._look()
                self._give()
                self._listen(_LOOK)
                self._collect()
            self._workers.await_cleanup(self._cluster.limits.cluster_cleanup)
        finally:
            for out in self._out.values():
                forget(out.future)

    def _connection_lost(self) -> None:
        """The scheduler has dropped our tasks: their workers give up, and they are given out anew."""
        for out in self._out.values():
            self._queue.returned(out.batch)
        self._out.clear()
        self._workers.forget_all()
        self._connection.again(self._cluster.limits.cluster_patience, self._cluster.progress)

    def _look(self) -> None:
        """See who is there: what the dead had is given to others, what nobody can get is lost."""
        if not self._workers.see():
            return  # what is known may be old: nobody is taken for dead by it
        for key, out in list(self._out.items()):
            if self._workers.get(out.worker) is None:
                self._gone(key)
        for name, (why, cells) in self._queue.hopeless(w.address for w in self._workers.ready).items():
            self._provided(name, "", why)
            self._lose(cells)
        self._workers.require(self._cluster.limits.cluster_patience)

    def _give(self) -> None:
        busy = [out.worker for out in self._out.values()]
        for worker in self._workers.ready:
            for _ in range(worker.threads - busy.count(worker.address)):
                batch = self._queue.take(worker.address)
                if batch is None:
                    break
                self._count += 1
                key = f"{self._name}-work-{self._count}"
                future = self._connection.submit(work, self._order(batch), worker=worker.address, key=key)
                if future is None:
                    self._queue.returned(batch)
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

    def _listen(self, seconds: float) -> None:
        """Take what was said, as it comes; return after `seconds`, or as soon as a piece is done."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            event = self._connection.heard(min(left, 0.05))
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
                self._gone(key)
                continue
            out.process = process
            with suppress(BadArchive):  # a line that was torn comes whole at the end
                self._said(out, strictjson.loads(str(event.get("line")).encode(), "a line"))

    def _said(self, out: _Out, value: Any) -> None:
        if "cell" in value:
            cell = Cell.model_validate(value["cell"])
            self._queue.know(*cell.key)
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
            self._queue.returned(out.batch)
            return
        told = answer(out.future)
        if isinstance(told, WorkerDied):
            self._gone(key)
            return
        del self._out[key]
        if isinstance(told, TimeproofError):
            self._lose(self._queue.failed(out.batch, told.message))
            return
        last: Mapping[str, Any] = {}
        for line in told:
            last = strictjson.loads(line.encode(), "a line", limit=LIMITS.report_bytes)
            self._said(out, last)
        if "ended" in last:
            code = last["ended"]
            self._lose(self._queue.died(out.batch, f"the process that ran it ended with exit code {code}"))
        elif "failed" not in last:
            self._lose(self._queue.finished(out.batch))
        elif last["at"] == "image":
            self._queue.without_image(out.batch, out.worker, last["failed"])
        else:
            self._lose(self._queue.failed(out.batch, last["failed"]))
            if last["at"] == "engine" and (worker := self._workers.get(out.worker)):
                worker.back_off()

    def _gone(self, key: str) -> None:
        """The worker of a piece died while it ran."""
        out = self._out.pop(key)
        self._workers.host_lost(out.worker)
        forget(out.future)
        self._lose(self._queue.died(out.batch, "its worker died while it ran"))

    def _lose(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self._deliver(cell, {})
