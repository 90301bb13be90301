"""The coordinator's connection to a Dask scheduler: made, and made again once it is lost. Decides nothing."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from timeproof.base.progress import Progress
from timeproof.errors import EngineLost, EngineMissing, TimeproofError
from timeproof.regression.executors.dask.worker_tasks import TOPIC

_CONNECT = 10.0  # seconds for one attempt to reach the scheduler
_GONE = {"closing", "closed", "failed"}  # the states of a worker that will not answer any more
_PAUSE = 0.5  # seconds between two attempts
ADVICE = "see that the scheduler and its workers run, then run the same command again with --resume"


class WorkerDiedError(EngineLost):
    """A task's worker died, and Dask has given up on it."""


class Connection:
    """One scheduler. Every task goes to one named worker, so that Dask itself runs none of them again."""

    def __init__(self, scheduler: str) -> None:
        """Connect to `tcp://HOST:PORT`. Raises EngineMissing: no Dask here, or no scheduler there."""
        self.scheduler = scheduler
        self._events: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._client = self._connected()

    def close(self) -> None:
        with suppress(Exception):  # a closed client's tasks are cancelled by the scheduler
            self._client.close(timeout=_CONNECT)

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
                self.scheduler, timeout=_CONNECT, set_as_default=False, direct_to_workers=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            raise EngineMissing(
                f"no Dask scheduler answers at {self.scheduler}: {error}", advice=ADVICE
            ) from error
        client.subscribe_topic(TOPIC, lambda event: self._events.put(event[1]))
        return client

    @property
    def alive(self) -> bool:
        return str(self._client.status) == "running"

    def reconnect(self, patience: float, progress: Progress) -> None:
        """Connect again; try for `patience` seconds. Raises EngineLost."""
        progress.note(f"the connection to {self.scheduler} is lost; trying to connect again")
        end = time.monotonic() + patience
        self.close()
        while True:
            try:
                self._client = self._connected()
                return
            except EngineMissing as error:
                if time.monotonic() > end:
                    raise EngineLost(error.message, advice=ADVICE) from error
                time.sleep(_PAUSE)

    def workers(self) -> dict[str, int]:
        """The threads of each worker, by address; as last known where the scheduler does not answer."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return {a: int(w["nthreads"]) for a, w in workers.items() if w.get("status") not in _GONE}

    def submit(self, act: Callable[[str], Any], argument: str, *, worker: str, key: str) -> Any:
        """Give one task to one worker; its future, or None where the connection is gone."""
        try:
            return self._client.submit(
                act, argument, key=key, workers=[worker], allow_other_workers=False, pure=False
            )
        except (OSError, RuntimeError, TimeoutError):  # Dask's own for a client that is closed
            return None

    def next_event(self, timeout: float) -> Mapping[str, Any] | None:
        """The next event that any worker sent; None where none comes in time."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None


def forget(future: Any) -> None:
    """Give a task up."""
    with suppress(Exception):  # the connection may be gone, and with it the task
        future.cancel()


def outcome_of(future: Any) -> Any:
    """A finished task's value; what went wrong with it is returned, not raised."""
    from distributed import KilledWorker

    try:
        return future.result(timeout=_CONNECT)
    except KilledWorker as error:
        return WorkerDiedError(str(error))
    except TimeproofError as error:
        return error
    except Exception as error:  # whatever a worker raises, such as a missing module
        return EngineLost(f"the worker failed: {type(error).__name__}: {error}")
