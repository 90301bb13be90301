"""Running batches on an existing Dask cluster, whose workers hold an engine and this package.

Each batch goes to one named worker, so that Dask itself never runs it again. `queue` decides how often an
artifact is tried, and what becomes of one that takes its worker with it.
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
from timeproof.regression.executors.dask.connection import Connection, WorkerDiedError, forget, outcome_of
from timeproof.regression.executors.dask.queue import BatchQueue
from timeproof.regression.executors.dask.worker_tasks import work
from timeproof.regression.executors.dask.workers import Workers
from timeproof.regression.executors.protocol import Deliver, Provided
from timeproof.regression.report import Cell
from timeproof.store.layout import Ref, is_address
from timeproof.store.schema.v1 import EnvironmentRecord
from timeproof.version import VERSION

_LOOK = 0.5  # seconds between looks at which workers there are


@dataclass(slots=True)
class _Assignment:
    """One batch that is with a worker."""

    batch: Batch
    worker: str
    future: Any
    process: int = 0  # the worker's, once it began


class Cluster:
    """A Dask cluster. See `protocol.Executor`."""

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
            registry, image: how a worker gets an image: see `image_provider.provide`.
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
        self._documents = {r: d for b in batches for r, d in zip(b.refs, b.documents, strict=False)}
        self._name = f"timeproof-{secrets.token_hex(8)}"
        self._count = 0
        greeting = {"archive": cluster.archive, "engine": cluster.engine}
        self._workers = Workers(cluster.connection, greeting, self._name, cluster.progress)
        self._assignments: dict[str, _Assignment] = {}  # by the key of the task
        self._sources: set[str] = set()

    def to_its_end(self) -> None:
        try:
            while not self._queue.done:
                if not self._connection.alive:
                    self._reconnect()
                self._refresh_workers()
                self._assign_batches()
                self._take_events(_LOOK)
                self._collect_ended()
            self._workers.await_cleanup(self._cluster.limits.cluster_cleanup)
        finally:
            for assignment in self._assignments.values():
                forget(assignment.future)

    def _reconnect(self) -> None:
        """Connect again. The scheduler dropped our tasks: workers stop, and batches are assigned again."""
        for assignment in self._assignments.values():
            self._queue.returned(assignment.batch)
        self._assignments.clear()
        self._workers.forget_all()
        self._connection.reconnect(self._cluster.limits.cluster_patience, self._cluster.progress)

    def _refresh_workers(self) -> None:
        """See which workers there are: other workers get what the dead had; what none can get is lost."""
        if not self._workers.refresh():
            return  # what is known may be old: no worker is taken for dead by it
        for key, assignment in list(self._assignments.items()):
            if self._workers.get(assignment.worker) is None:
                self._worker_died(key)
        ready = (w.address for w in self._workers.ready)
        for name, (reason, cells) in self._queue.hopeless(ready).items():
            self._provided(name, "", reason)
            self._deliver_lost(cells)
        self._workers.require(self._cluster.limits.cluster_patience)

    def _assign_batches(self) -> None:
        """Give each ready worker as many batches as it has threads."""
        busy = [assignment.worker for assignment in self._assignments.values()]
        for worker in self._workers.ready:
            for _ in range(worker.threads - busy.count(worker.address)):
                batch = self._queue.take(worker.address)
                if batch is None:
                    break
                self._count += 1
                key = f"{self._name}-work-{self._count}"
                request = self._request(batch)
                future = self._connection.submit(work, request, worker=worker.address, key=key)
                if future is None:
                    self._queue.returned(batch)
                    return
                self._assignments[future.key] = _Assignment(batch, worker.address, future)

    def _request(self, batch: Batch) -> str:
        """What a worker has to know to run a batch: see `worker_process.run_request`."""
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
                "documents": [self._documents.get(r) or Ref.parse(r).metadata for r in batch.refs],
                "attempt": batch.attempt,
                "limits": {f.name: v for f, v in zip(fields(limits), asdict(limits).values(), strict=True)},
            }
        )

    def _take_events(self, seconds: float) -> None:
        """Take the workers' events as they come; return after `seconds`, or as soon as a batch is done."""
        end = time.monotonic() + seconds
        while (remaining := end - time.monotonic()) > 0:
            event = self._connection.next_event(min(remaining, 0.05))
            if event is not None:
                self._take_event(event)
            elif any(assignment.future.done() for assignment in self._assignments.values()):
                return

    def _take_event(self, event: Mapping[str, Any]) -> None:
        key = str(event.get("key"))
        assignment = self._assignments.get(key)
        if assignment is None or not key.startswith(self._name):
            return  # of another run, or of a batch that was given up
        process = int(event.get("process", 0))
        if assignment.process and process != assignment.process:
            # Dask gave it to a successor of the same address.
            self._worker_died(key)
            return
        assignment.process = process
        with suppress(BadArchive):  # a line that was torn comes whole at the end
            self._take_line(assignment, strictjson.loads(str(event.get("line")).encode(), "a line"))

    def _take_line(self, assignment: _Assignment, value: Any) -> None:
        """Take one line of a worker process: a cell, or where it got its image."""
        environment = assignment.batch.environment
        if "cell" in value:
            cell = Cell.model_validate(value["cell"])
            self._queue.know(*cell.key)
            self._deliver(cell, value["machine"])
        elif "provided" in value and environment not in self._sources:
            self._sources.add(environment)
            self._provided(environment, value["provided"], "")

    def _collect_ended(self) -> None:
        for key, assignment in list(self._assignments.items()):
            if assignment.future.done():
                self._task_ended(key, assignment)

    def _task_ended(self, key: str, assignment: _Assignment) -> None:
        """A batch's task is over, in one way or another."""
        if assignment.future.cancelled():
            del self._assignments[key]
            self._queue.returned(assignment.batch)
            return
        outcome = outcome_of(assignment.future)
        if isinstance(outcome, WorkerDiedError):
            self._worker_died(key)
            return
        del self._assignments[key]
        if isinstance(outcome, TimeproofError):
            self._deliver_lost(self._queue.failed(assignment.batch, outcome.message))
            return
        last: Mapping[str, Any] = {}
        for line in outcome:
            last = strictjson.loads(line.encode(), "a line", limit=LIMITS.report_bytes)
            self._take_line(assignment, last)
        self._batch_ended(assignment, last)

    def _batch_ended(self, assignment: _Assignment, last: Mapping[str, Any]) -> None:
        """Decide by a worker process's last line what becomes of the rest of its batch."""
        batch = assignment.batch
        if "ended" in last:
            reason = f"the process that ran it ended with exit code {last['ended']}"
            self._deliver_lost(self._queue.died(batch, reason))
        elif "failed" not in last:
            self._deliver_lost(self._queue.finished(batch))
        elif last["at"] == "image":
            self._queue.without_image(batch, assignment.worker, last["failed"])
        else:
            self._deliver_lost(self._queue.failed(batch, last["failed"]))
            if last["at"] == "engine" and (worker := self._workers.get(assignment.worker)):
                worker.back_off()

    def _worker_died(self, key: str) -> None:
        """The worker of a batch died while it ran."""
        assignment = self._assignments.pop(key)
        self._workers.host_lost(assignment.worker)
        forget(assignment.future)
        self._deliver_lost(self._queue.died(assignment.batch, "its worker died while it ran"))

    def _deliver_lost(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self._deliver(cell, {})
