"""What the coordinator asks of a Dask worker: `greet` and `work`. Text in, text out; decides nothing.

The work itself is done by a process of its own (`worker_process`), so that a worker stays able to answer, and
that a container never outlives both.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from timeproof.base import proc, strictjson
from timeproof.base.limits import LIMITS
from timeproof.errors import Malformed, TimeproofError
from timeproof.version import VERSION

TOPIC = "timeproof-regress"  # one for all runs: the scheduler keeps the last events of each topic
_WANTED = {"executing", "long-running", "resumed"}  # the states of a Dask task that is still wanted

_ENDING = {"closing", "closed", "failed"}  # the states of a Dask worker that will send no event any more


def greet(request: str) -> str:
    """Say which worker this is, and whether it can work; remove what a predecessor on this machine left."""
    facts: dict[str, Any] = {
        "toolkit": VERSION,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "failed": "",
    }
    try:
        from timeproof.engines.registry import engine_named
        from timeproof.store.remote.mirror import open_archive

        greeting = strictjson.loads(request.encode(), "the greeting")
        engine = engine_named(greeting["engine"])
        facts["engine"] = engine.version()
        engine.reap()
        open_archive(greeting["archive"], documents=()).require()
    except TimeproofError as error:
        facts["failed"] = error.message
    return strictjson.compact(facts)


def work(request: str) -> list[str]:
    """Run one batch; its lines (`worker_process`) go to the coordinator at once, and come back at the end.

    Where the task is wanted no more (the coordinator is gone, or gave up), the container is removed.
    """
    from distributed import get_worker

    worker: Any = get_worker()
    key = worker.get_current_task()
    attendant = 0
    wanted = True

    def take_line(line: str) -> None:
        nonlocal attendant, wanted
        if line.startswith("{"):
            with suppress(Malformed):
                attendant = attendant or int(strictjson.loads(line.encode(), "a line").get("pid", 0))
            if wanted:
                worker.log_event(TOPIC, {"key": key, "process": os.getpid(), "line": line})
        task = worker.state.tasks.get(key)
        if wanted and (task is None or task.state not in _WANTED or worker.status.name in _ENDING):
            wanted = False
            if attendant:
                with suppress(ProcessLookupError):
                    os.kill(attendant, signal.SIGINT)

    # -P: nothing in the folder that the worker was started in stands in for a module.
    words = [
        sys.executable,
        "-P",
        "-m",
        "timeproof.regression.executors.dask.worker_process",
        str(os.getpid()),
    ]
    done = proc.run(
        words, stdin=request.encode(), on_line=take_line, check=False, timeout=2 * LIMITS.container_seconds
    )
    lines = done.stdout.decode().splitlines()
    if done.exit_code != 0:
        tail = done.tail[-2000:]
        lines.append(strictjson.compact({"ended": done.exit_code, "wanted": wanted, "tail": tail}))
    return lines
