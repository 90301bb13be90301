"""Running batches on this machine: as many containers side by side as cores and memory allow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from timeproof.base.limits import LIMITS, Limits
from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.errors import EngineFailed, EngineLost, EngineMissing, TimeproofError
from timeproof.regression.batch import Batch, lost_cells, run_batch
from timeproof.regression.executors.protocol import Deliver, Provided
from timeproof.regression.report import Cell
from timeproof.runs import image_provider
from timeproof.runs.parallel import available_memory, side_by_side
from timeproof.store.layout import Archive
from timeproof.store.schema.v1 import EnvironmentRecord

ATTEMPTS = 3  # times that a cell is tried whose container the engine failed


class _Cancelled(Exception):
    """Nobody waits for cells any more."""


class Local:
    """This machine's engine. See `protocol.Executor`."""

    name = "local"

    def __init__(
        self,
        archive: Archive,
        connect: Callable[[], Engine],
        *,
        workers: int | None = None,
        registry: str = "",
        limits: Limits = LIMITS,
        progress: Progress = SILENT,
    ) -> None:
        self._archive, self._connect, self._limits, self._progress = archive, connect, limits, progress
        self._registry = registry
        cores = len(os.sched_getaffinity(0))
        self._workers = workers or side_by_side(cores, available_memory())
        self._locks: dict[str, threading.Lock] = {}
        self._ids: dict[str, str | TimeproofError] = {}
        self._stop = threading.Event()

    @property
    def width(self) -> int:
        return self._workers

    def run(
        self,
        batches: Sequence[Batch],
        records: Mapping[str, EnvironmentRecord],
        deliver: Deliver,
        provided: Provided,
    ) -> None:
        self._locks = {b.environment: threading.Lock() for b in batches}
        with ThreadPoolExecutor(self._workers, thread_name_prefix="regress") as pool:
            futures = [
                pool.submit(self._run_batch, b, records[b.environment], deliver, provided) for b in batches
            ]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                self._stop.set()
                for future in futures:
                    future.cancel()
                raise

    def _image(self, record: EnvironmentRecord, engine: Engine, provided: Provided) -> str:
        """The id of the environment's image in the engine; provided once, whichever batch asks first."""
        name = record.folder
        with self._locks[name]:
            if name not in self._ids:
                try:
                    image = image_provider.provide(
                        engine, self._archive, record, registry=self._registry, progress=self._progress
                    )
                except EngineFailed:
                    raise  # the next attempt may do
                except TimeproofError as error:
                    self._ids[name] = error
                    provided(name, "", error.message)
                else:
                    self._ids[name] = image.id
                    provided(name, image.source, "")
        id_or_error = self._ids[name]
        if isinstance(id_or_error, TimeproofError):
            raise id_or_error
        return id_or_error

    def _run_batch(
        self, batch: Batch, record: EnvironmentRecord, deliver: Deliver, provided: Provided
    ) -> None:
        """Run one batch, and again what a failing engine did not finish; every artifact is delivered."""
        unfinished = dict.fromkeys(batch.refs)
        engine = self._connect()

        def take(cell: Cell, machine: Mapping[str, Any]) -> None:
            unfinished.pop(cell.artifact, None)
            deliver(cell, machine)
            if self._stop.is_set():
                raise _Cancelled  # which kills this container

        reason = ""
        for attempt in range(1, ATTEMPTS + 1):
            if self._stop.is_set():
                return
            rest = Batch(batch.environment, batch.profile, tuple(unfinished), attempt)
            try:
                image = self._image(record, engine, provided)
                run_batch(self._archive, rest, image, engine, take, limits=self._limits)
                return
            except (EngineLost, EngineMissing):
                raise
            except EngineFailed as error:
                reason = error.message
            except TimeproofError as error:
                reason = error.message
                break
        rest = Batch(batch.environment, batch.profile, tuple(unfinished), ATTEMPTS)
        for cell in lost_cells(rest, tuple(unfinished), reason):
            deliver(cell, {})
