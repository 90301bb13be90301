"""The process that runs one batch of a regression on a worker's machine: `python -m …worker_process`.

It reads a request from stdin, and writes each cell to stderr as it comes and to stdout at the end of all. It
lives no longer than the worker that started it: with the worker gone, its container is removed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from timeproof.base import atomic, strictjson
from timeproof.base.cachedir import cache_folder
from timeproof.base.limits import LIMITS
from timeproof.engines.protocol import Engine
from timeproof.engines.registry import engine_named
from timeproof.errors import BadRequest, EngineFailed, TimeproofError, WrongImage
from timeproof.regression.batch import Batch, run_batch
from timeproof.regression.report import Cell
from timeproof.runs import image_provider
from timeproof.store.read import read_environment
from timeproof.store.remote.mirror import open_archive
from timeproof.store.schema.v1 import ProfileRecord
from timeproof.version import VERSION

_LOOK = 0.5  # seconds between looks at who our parent is, and between signs of life
_REMOVAL = 30.0  # seconds that the removal of a container may take, once its worker is gone

Say = Callable[[Mapping[str, Any]], None]


def run_request(request: Mapping[str, Any], engine: Engine, say: Say) -> None:
    """Run one request: provide the image, run the batch, write each cell.

    It says `{"provided": …}`, `{"cell": …, "machine": …}`, and where it ends early `{"failed": …}`
    with `at`: `image` (the environment can't be had here), `engine`, or `batch`.
    """
    at = "batch"
    try:
        if request["toolkit"] != VERSION:
            raise BadRequest(f"this worker runs timeproof {VERSION}, the coordinator {request['toolkit']}")
        record_path = f"environments/{request['environment']}/image.json"
        archive = open_archive(request["archive"], documents=[record_path, *request["documents"]])
        archive.require()
        batch = Batch(
            request["environment"],
            ProfileRecord.model_validate(request["profile"]),
            tuple(request["refs"]),
            request["attempt"],
        )
        record = read_environment(archive, batch.environment)
        if record.checksum != request["checksum"]:
            raise WrongImage("record", request["checksum"], record.checksum)
        at = "image"
        with atomic.lock(_locks(), f"{record.folder}.lock"):  # one pull a machine
            provided = image_provider.provide(
                engine, archive, record, mode=request["image"], registry=request["registry"]
            )
        say({"provided": provided.source})
        at = "batch"
        limits = replace(LIMITS, **request["limits"])

        def say_cell(cell: Cell, machine: Mapping[str, Any]) -> None:
            say({"cell": cell.model_dump(mode="json"), "machine": dict(machine)})

        run_batch(archive, batch, provided.id, engine, say_cell, limits=limits)
    except EngineFailed as error:
        say({"failed": error.message, "at": "engine", "kind": error.kind})
    except TimeproofError as error:
        say({"failed": error.message, "at": at, "kind": error.kind})


def _locks() -> Path:
    return cache_folder("locks")


def _live_with(parent: int) -> None:
    """End this process as soon as `parent` is not its parent any more."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
        try:
            os.write(2, b"\n")  # the worker looks at each line whether it is still wanted
        except OSError:  # there is no worker to read it
            break
    os.kill(os.getpid(), signal.SIGINT)  # the engine's door kills and removes the container
    time.sleep(_REMOVAL)
    os._exit(130)


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # a worker in the background may ignore the one
        signal.signal(number, signal.default_int_handler)
    parent = int(sys.argv[1])
    threading.Thread(target=_live_with, args=(parent,), daemon=True).start()
    request = strictjson.loads(sys.stdin.buffer.read(), "the request", limit=LIMITS.report_bytes)
    lines: list[str] = []

    def say(value: Mapping[str, Any]) -> None:
        line = strictjson.compact(value)
        lines.append(line)
        # A long line may come in two, or with a sign of life inside: stdout has it whole.
        os.write(2, f"\n{line}\n".encode())

    say({"pid": os.getpid()})

    try:
        engine = engine_named(request["engine"])
    except TimeproofError as error:
        say({"failed": error.message, "at": "engine", "kind": error.kind})
    else:
        run_request(request, engine, say)
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
