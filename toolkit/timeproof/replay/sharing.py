"""Many artifacts of one environment, shared out among as many containers as there are cores.

Each container runs one artifact after the other, so that one alone leaves the other cores idle. What is
asked of an artifact doesn't change: every container has the same bounds and the same profile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from timeproof.archive.model import ProfileRecord
from timeproof.engine.base import Engine
from timeproof.limits import LIMITS, Limits
from timeproof.replay.outcome import Outcome, ProbeRun
from timeproof.replay.probing import Task, run_probe

_WORTH = 40  # artifacts from which on a further container pays for its own start


class _Over(Exception):
    """Nobody waits for outcomes any more."""


def containers_for(tasks: int, cores: int | None = None) -> int:
    """How many containers `tasks` artifacts are worth on this machine."""
    there = cores if cores is not None else len(os.sched_getaffinity(0))
    return max(1, min(there, tasks // _WORTH))


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
) -> list[ProbeRun]:
    """Run every task, as `run_probe` does, in one container or several side by side.

    Args:
        on_outcome: called for one artifact at a time, whichever container it comes from.
        containers: how many; by default what the number of tasks and of cores makes worth while.

    Raises what `run_probe` raises; the other containers end with the artifact that they are at.
    """
    count = containers_for(len(tasks)) if containers is None else max(1, min(containers, len(tasks)))
    told = {} if hello is None else hello
    if count == 1:
        return [run_probe(engine, image, tasks, profile, limits=limits, on_outcome=on_outcome, hello=told)]
    one_at_a_time = threading.Lock()
    over = threading.Event()

    def hand_on(outcome: Outcome) -> None:
        with one_at_a_time:
            if over.is_set():
                raise _Over  # which kills this container
            on_outcome(outcome)

    with ThreadPoolExecutor(count) as pool:
        started = [
            pool.submit(
                run_probe,
                engine,
                image,
                tasks[k::count],  # neighbours are alike: each container gets its share of the slow ones
                profile,
                limits=limits,
                on_outcome=hand_on,
                hello=told,
            )
            for k in range(count)
        ]
        try:
            ended, _ = wait(started, return_when=FIRST_EXCEPTION)
            for run in ended:
                run.result()  # raises what ended it
            return [run.result() for run in started]
        except BaseException:  # an interruption, or one engine's end, is the end of all
            over.set()
            raise
