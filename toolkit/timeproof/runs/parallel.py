"""Which artifacts share a container, and which have one of their own; several run side by side.

An artifact that runs code of its own is alone: whatever that code does, no neighbour's answer is within its
reach. The others share, in as many containers as pay for their start. What is asked of an artifact doesn't
change: every container has the same bounds and the same profile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from timeproof.base.limits import LIMITS, Limits
from timeproof.engines.protocol import Engine
from timeproof.errors import BadArchive
from timeproof.runs.container_run import run_probe
from timeproof.runs.private_folder import PrivateFolder
from timeproof.runs.probe_stream import Outcome, ProbeRun
from timeproof.runs.task import Task
from timeproof.store.schema.v1 import ProfileRecord

_WORTH = 40  # artifacts from which on a further container pays for its own start
_EACH = 2 * 2**30  # bytes of memory that one container of models is reckoned with
_AHEAD = 64  # folders of copies that are made before the first container runs
_COPIED = 4 * 2**30  # bytes of files: what one container's copies, or those made ahead, may take together


class _Cancelled(Exception):
    """Nobody waits for outcomes any more."""


def side_by_side(cores: int, available: int) -> int:
    """How many containers run at once, on so many cores and with so many bytes of free memory."""
    return max(1, min(cores, available // _EACH))


def available_memory() -> int:
    """Bytes that are free for new processes (`MemAvailable`); 0 where the kernel does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def containers_for(tasks: int, cores: int | None = None) -> int:
    """How many containers `tasks` artifacts that may share one are worth on this machine."""
    there = cores if cores is not None else len(os.sched_getaffinity(0))
    return max(1, min(there, tasks // _WORTH))


def groups_of(tasks: Sequence[Task], containers: int | None = None) -> list[list[Task]]:
    """Which tasks go into one container: those that run code each into its own, and these come first.

    Args:
        containers: in how many the others are; by default what their number makes worth while. There are
            more where one would copy too many bytes.
    """
    alone = [[t] for t in tasks if t.runs_code]
    rest = [t for t in tasks if not t.runs_code]
    count = containers_for(len(rest)) if containers is None else max(1, containers)
    # Neighbours are alike: each container gets its share of the slow ones.
    shares = [part for k in range(min(count, len(rest))) for part in _bounded(rest[k::count])]
    return alone + shares


def _bounded(tasks: Sequence[Task]) -> list[list[Task]]:
    """Cut where the copies of one container would take too much room."""
    parts: list[list[Task]] = []
    room = 0
    for task in tasks:
        if not parts or task.bytes > room:
            parts.append([])
            room = _COPIED
        parts[-1].append(task)
        room -= task.bytes
    return parts


class Shares:
    """Tasks in their containers, the files of the first ones copied and hashed already.

    A context manager: what was copied and is not run is removed at its end.
    """

    def __init__(self, tasks: Sequence[Task], *, containers: int | None = None) -> None:
        """Copy ahead what takes little room. Raises NoSpace / StorageFailed."""
        self.groups = groups_of(tasks, containers)
        self._folders: list[PrivateFolder | None] = []
        room = _COPIED
        try:
            for group in self.groups:
                room -= sum(t.bytes for t in group)
                ahead = not self._folders or (room >= 0 and len(self._folders) < _AHEAD)
                self._folders.append(PrivateFolder(group) if ahead else None)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Shares:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for folder in self._folders:
            if folder is not None:
                folder.close()

    def take_altered(self) -> dict[str, BadArchive]:
        """The tasks whose files are not the recorded ones, as far as is known, by their ids.

        They are run no more, and nothing is said of them again.
        """
        found: dict[str, BadArchive] = {}
        for group, folder in zip(self.groups, self._folders, strict=True):
            if folder is not None:
                found |= folder.altered
                folder.altered = {}
                group[:] = [t for t in group if t.id in folder.handed]
        return found

    def run(
        self,
        engine: Engine,
        image: str,
        profile: ProfileRecord,
        *,
        limits: Limits = LIMITS,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
        width: int | None = None,
    ) -> list[ProbeRun]:
        """Run every task, as `run_probe` does, in as many containers at once as cores and memory allow.

        Args:
            on_outcome: called for one artifact at a time, whichever container it comes from.
            width: how many run side by side.

        Raises what `run_probe` raises; the other containers end with the artifact that they are at.
        """
        pairs = [(g, f) for g, f in zip(self.groups, self._folders, strict=True) if g]
        if not pairs:
            return []
        if width is None:
            # One more than cores: it is started while the others run.
            width = side_by_side(len(os.sched_getaffinity(0)) + 1, available_memory())
        one_at_a_time = threading.Lock()
        over = threading.Event()

        def hand_on(outcome: Outcome) -> None:
            with one_at_a_time:
                if over.is_set():
                    raise _Cancelled  # which kills this container
                on_outcome(outcome)

        def run(group: Sequence[Task], folder: PrivateFolder | None) -> ProbeRun:
            if over.is_set():
                raise _Cancelled
            return run_probe(engine, image, group, profile, limits=limits, on_outcome=hand_on, folder=folder)

        if len(pairs) == 1 or width == 1:
            return [run(*pair) for pair in pairs]
        with ThreadPoolExecutor(min(width, len(pairs))) as pool:
            started = [pool.submit(run, *pair) for pair in pairs]
            try:
                ended, _ = wait(started, return_when=FIRST_EXCEPTION)
                for one in ended:
                    one.result()  # raises what ended it
                return [one.result() for one in started]
            except BaseException:  # an interruption, or one engine's end, is the end of all
                over.set()
                raise


def run_shared(
    engine: Engine,
    image: str,
    tasks: Sequence[Task],
    profile: ProfileRecord,
    *,
    limits: Limits = LIMITS,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
    hello: dict[str, Any] | None = None,
    containers: int | None = None,
    width: int | None = None,
) -> list[ProbeRun]:
    """Copy the tasks' files and run them all: see `Shares`.

    Args:
        hello: filled with what the first container says of itself, at the end.
    """
    with Shares(tasks, containers=containers) as shares:
        runs = shares.run(engine, image, profile, limits=limits, on_outcome=on_outcome, width=width)
    if hello is not None and runs:
        hello.update(runs[0].hello)
    return runs
