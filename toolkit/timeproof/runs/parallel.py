"""Divide artifacts among containers, and run several containers at once.

An artifact that runs code of its own gets a container of its own, so that this code cannot reach another
artifact's outputs. The others share containers, as many as are worth their start. Every container has the
same bounds and the same profile, so an artifact's job does not depend on the division.
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

_WORTH = 40  # artifacts that make one more container worth its start
_EACH = 2 * 2**30  # bytes of memory that one container is expected to take
_AHEAD = 64  # folders of copies that are made before the first container runs
_COPIED = 4 * 2**30  # bytes that the copies for one container may take, and the copies made ahead together


class _RunStopped(Exception):
    """The run was stopped: no more outcomes are taken."""


def side_by_side(cores: int, available: int) -> int:
    """How many containers run at once on `cores` cores with `available` bytes of free memory."""
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
    """How many containers are worth starting on this machine for `tasks` artifacts that may share one."""
    count = cores if cores is not None else len(os.sched_getaffinity(0))
    return max(1, min(count, tasks // _WORTH))


def groups_of(tasks: Sequence[Task], containers: int | None = None) -> list[list[Task]]:
    """Divide tasks into groups, one for each container. Tasks that run code are alone, and come first.

    Args:
        containers: how many containers the other tasks share; by default as many as are worth their start.
            There are more where one would copy too many bytes.
    """
    alone = [[t] for t in tasks if t.runs_code]
    rest = [t for t in tasks if not t.runs_code]
    count = containers_for(len(rest)) if containers is None else max(1, containers)
    # Tasks beside each other are alike: dealing them out gives every container its share of the slow ones.
    shares = [part for k in range(min(count, len(rest))) for part in _bounded(rest[k::count])]
    return alone + shares


def _bounded(tasks: Sequence[Task]) -> list[list[Task]]:
    """Divide tasks where the copies for one container would take too many bytes."""
    parts: list[list[Task]] = []
    room = 0
    for task in tasks:
        if not parts or task.bytes > room:
            parts.append([])
            room = _COPIED
        parts[-1].append(task)
        room -= task.bytes
    return parts


class ContainerGroups:
    """Tasks in groups, one for each container; the files of the first groups are copied and hashed already.

    A context manager: at its end it removes the copies that no container has used.
    """

    def __init__(self, tasks: Sequence[Task], *, containers: int | None = None) -> None:
        """Copy the files of as many groups as `_AHEAD` and `_COPIED` allow. Raises NoSpace, StorageFailed."""
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

    def __enter__(self) -> ContainerGroups:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for folder in self._folders:
            if folder is not None:
                folder.close()

    def take_altered(self) -> dict[str, BadArchive]:
        """Remove the tasks whose files were hashed and are not the recorded ones; return the reasons by id.

        `run` neither runs them nor reports them again.
        """
        altered: dict[str, BadArchive] = {}
        for group, folder in zip(self.groups, self._folders, strict=True):
            if folder is not None:
                altered |= folder.altered
                folder.altered = {}
                group[:] = [t for t in group if t.id in folder.handed]
        return altered

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
            on_outcome: called for one artifact at a time, from whichever container.
            width: how many containers run at once.

        Raises the errors of `run_probe`; the other containers then end at their next outcome.
        """
        pairs = [(g, f) for g, f in zip(self.groups, self._folders, strict=True) if g]
        if not pairs:
            return []
        if width is None:
            # One more than there are cores: it starts while the others run.
            width = side_by_side(len(os.sched_getaffinity(0)) + 1, available_memory())
        one_at_a_time = threading.Lock()
        stopped = threading.Event()

        def hand_on(outcome: Outcome) -> None:
            with one_at_a_time:
                if stopped.is_set():
                    raise _RunStopped  # which kills this container
                on_outcome(outcome)

        def run(group: Sequence[Task], folder: PrivateFolder | None) -> ProbeRun:
            if stopped.is_set():
                raise _RunStopped
            return run_probe(engine, image, group, profile, limits=limits, on_outcome=hand_on, folder=folder)

        if len(pairs) == 1 or width == 1:
            return [run(*pair) for pair in pairs]
        with ThreadPoolExecutor(min(width, len(pairs))) as pool:
            started = [pool.submit(run, *pair) for pair in pairs]
            try:
                ended, _ = wait(started, return_when=FIRST_EXCEPTION)
                for future in ended:
                    future.result()  # raises the error that ended it
                return [future.result() for future in started]
            except BaseException:  # an interruption, or the failure of one, stops all
                stopped.set()
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
    """Copy the tasks' files and run them all: see `ContainerGroups`.

    Args:
        hello: filled at the end with the facts of the first container.
    """
    with ContainerGroups(tasks, containers=containers) as groups:
        runs = groups.run(engine, image, profile, limits=limits, on_outcome=on_outcome, width=width)
    if hello is not None and runs:
        hello.update(runs[0].hello)
    return runs
