"""Running batches on an existing Dask cluster, whose workers hold an engine and this package.

Each piece is given to one named worker, so that Dask itself never runs it again: how often an artifact is
tried, and what becomes of one that takes its worker with it, `dispatch` decides.
"""

from __future__ import annotations

import os
import queue
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from timeproof import strictjson
from timeproof.archive.layout import is_address
from timeproof.archive.model import ImageRecord
from timeproof.errors import BadArchive, EngineLost, EngineMissing, TimeproofError
from timeproof.limits import LIMITS, Limits
from timeproof.progress import SILENT, Progress
from timeproof.regress.batch import Batch
from timeproof.regress.dispatch import Dispatch
from timeproof.regress.executor import Deliver, Provided
from timeproof.regress.result import Cell
from timeproof.regress.working import TOPIC, greet, work
from timeproof.version import VERSION

_LOOK = 0.5  # seconds between looks at who is there
_CONNECT = 10.0  # seconds for one attempt to reach the scheduler
_REST = 5.0  # seconds before a worker whose engine failed is greeted again
_ADVICE = "see that the scheduler and its workers run, then run the same command again with --resume"


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
        limits: Limits = LIMITS,
        progress: Progress = SILENT,
    ) -> None:
        """Connect.

        Args:
            scheduler: `tcp://HOST:PORT`, or `tls://…` with Dask's own configuration of certificates.
            archive: its folder as every worker sees it, or a remote address.
            registry, image: how a worker gets an image: see `images.provide`.

        Raises EngineMissing: Dask is not installed, or no scheduler answers.
        """
        self._scheduler = scheduler
        self._archive = archive if is_address(archive) else os.path.abspath(archive)
        self._registry, self._image = registry, image
        self._limits, self._progress = limits, progress
        self._heard: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._client = self._connected()

    def close(self) -> None:
        with suppress(Exception):  # nothing of ours is left there: a closed client's tasks are cancelled
            self._client.close(timeout=_CONNECT)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def width(self) -> int:
        return max(1, sum(int(w["nthreads"]) for w in self._workers_there().values()))

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

    # --- the connection -----------------------------------------------------------------------

    def _connected(self) -> Any:
        try:
            from distributed import Client
        except ImportError as error:
            raise EngineMissing(
                "Dask is not installed here", advice="install it: pip install 'timeproof[cluster]'"
            ) from error
        try:
            # Workers may be out of our reach: all goes through the scheduler.
            client: Any = Client(  # type: ignore[no-untyped-call]
                self._scheduler, timeout=_CONNECT, set_as_default=False, direct_to_workers=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            raise EngineMissing(
                f"no Dask scheduler answers at {self._scheduler}: {error}", advice=_ADVICE
            ) from error
        client.subscribe_topic(TOPIC, lambda event: self._heard.put(event[1]))
        return client

    def _reconnected(self) -> None:
        """Connect anew, for as long as our patience lasts. Raises EngineLost."""
        self._progress.note(f"the connection to {self._scheduler} is lost; trying to connect again")
        end = time.monotonic() + self._limits.cluster_patience
        self.close()
        while True:
            try:
                self._client = self._connected()
                return
            except EngineMissing as error:
                if time.monotonic() > end:
                    raise EngineLost(error.message, advice=_ADVICE) from error
                time.sleep(_LOOK)

    @property
    def _alive(self) -> bool:
        return str(self._client.status) == "running"

    def _workers_there(self) -> Mapping[str, Any]:
        """What the scheduler says of its workers, by address; the last known where it does not answer."""
        found = self._client.scheduler_info(n_workers=-1)["workers"]
        return {a: w for a, w in found.items() if w.get("status", "running") == "running"}


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
        self._cluster, self._records = cluster, records
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
                if not self._cluster._alive:
                    self._connection_lost()
                self._look()
                self._give()
                self._listen(_LOOK)
                self._collect()
        finally:
            for out in self._out.values():
                _forget(out.future)

    def _connection_lost(self) -> None:
        """The scheduler has dropped our tasks: their workers give up, and they are given out anew."""
        for out in self._out.values():
            self._dispatch.returned(out.batch)
        self._out.clear()
        self._workers.clear()
        self._cluster._reconnected()

    # --- workers ------------------------------------------------------------------------------

    def _look(self) -> None:
        there = self._cluster._workers_there()
        if not self._cluster._alive:
            return  # what it says may be old: nobody is taken for dead by it
        for address in set(self._workers) - set(there):
            del self._workers[address]
        for key, out in list(self._out.items()):
            if out.worker not in there:
                self._gone(key, "its worker died while it ran")
        for address, facts in there.items():
            self._greeted(self._workers.setdefault(address, _Worker(address, int(facts["nthreads"]))))
        self._patience()

    def _greeted(self, worker: _Worker) -> None:
        if worker.ready or time.monotonic() < worker.again:
            return
        if worker.greeting is None:
            worker.greeting = self._submit(greet, self._cluster._archive, worker.address, "greet")
            return
        if not worker.greeting.done():
            return
        told, worker.greeting = _answer(worker.greeting), None
        value = told if isinstance(told, TimeproofError) else strictjson.loads(told.encode(), worker.address)
        if isinstance(value, TimeproofError):
            worker.failure = value.message
        elif value["toolkit"] != VERSION:
            worker.failure = f"it runs timeproof {value['toolkit']}, and this is {VERSION}"
        else:
            worker.failure = value["failed"]
        worker.ready = not worker.failure
        if worker.failure:
            worker.again = time.monotonic() + _REST
            self._cluster._progress.note(f"the worker {worker.address} can't be used: {worker.failure}")

    def _patience(self) -> None:
        """Give up where no worker has been ready for too long. Raises EngineLost / EngineMissing."""
        ready = [w for w in self._workers.values() if w.ready]
        if ready:
            self._alone = time.monotonic()
            for name, (why, cells) in self._dispatch.hopeless(w.address for w in ready).items():
                self._provided(name, "", why)
                self._lose(cells)
        elif time.monotonic() - self._alone > self._cluster._limits.cluster_patience:
            reasons = [f"{w.address}: {w.failure}" for w in self._workers.values() if w.failure]
            raise EngineLost(
                f"no worker of {self._cluster._scheduler} can work"
                + (f" ({'; '.join(reasons)})" if reasons else ": there is none"),
                advice=_ADVICE,
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
        limits = self._cluster._limits
        return strictjson.compact(
            {
                "toolkit": VERSION,
                "archive": self._cluster._archive,
                "registry": self._cluster._registry,
                "image": self._cluster._image,
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
        key = f"{self._name}-{what}-{self._count}"
        try:
            return self._cluster._client.submit(
                act, argument, key=key, workers=[worker], allow_other_workers=False, pure=False
            )
        except (OSError, RuntimeError, TimeoutError):  # Dask's own for a client that is closed
            return None

    def _listen(self, seconds: float) -> None:
        """Take what was said, as it comes; return after `seconds`, or as soon as a piece is done."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                event = self._cluster._heard.get(timeout=min(left, 0.05))
            except queue.Empty:
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
                self._gone(key, "its worker died while it ran")
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
        told = _answer(out.future)
        if isinstance(told, _Died):
            self._gone(key, told.message)
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
        _forget(out.future)
        self._lose(self._dispatch.died(out.batch, reason))

    def _lose(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self._deliver(cell, {})


class _Died(EngineLost):
    """A task's worker died, and Dask has given up on it."""


def _forget(future: Any) -> None:
    with suppress(Exception):  # the connection may be gone, and with it the task
        future.cancel()


def _answer(future: Any) -> Any:
    """A task's value; what went wrong with it is given, not raised."""
    from distributed import KilledWorker

    try:
        return future.result(timeout=_CONNECT)
    except KilledWorker as error:
        return _Died(f"its worker died while it ran: {error}")
    except TimeproofError as error:
        return error
    except Exception as error:  # whatever a worker raises, such as a missing module
        return EngineLost(f"the worker failed: {type(error).__name__}: {error}")
