"""A command whose output is handed on as it comes, for as long as it runs: memory stays flat.

The rules of `proc` hold: an argument list, a bounded tail, the whole process group ended in the end.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from timeproof.base.limits import LIMITS
from timeproof.base.proc import AFTER, PIECE, end_group, start
from timeproof.errors import TimeproofError

_TO_END = 15.0  # seconds that a process has to end when it is asked to


@dataclass(frozen=True, slots=True)
class Followed:
    """How a followed command ended. `late`: its time was over, and it was ended."""

    exit_code: int
    late: bool
    tail: str  # the last of its stderr, as text
    seconds: float


def _keep_tail(stream: IO[bytes], tail: bytearray) -> None:
    while data := stream.read1(PIECE):  # type: ignore[attr-defined]  # Popen's pipes are buffered readers
        tail += data
        del tail[: -LIMITS.log_bytes]


def follow(
    argv: Sequence[str | Path],
    consume: Callable[[Callable[[int], bytes]], None],
    *,
    end: Callable[[], None],
    timeout: float,
    started: Callable[[int], None] = lambda _: None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    advice: str = "",
) -> Followed:
    """Run `argv` to its end, handing its stdout to `consume` as it comes; memory stays flat.

    Args:
        consume: gets a function that gives exactly so many bytes, or raises EOFError.
        end: asks whatever `argv` started to end, when the time is over or `consume` has raised; who does
            not end within seconds is killed.
        timeout: seconds.
        started: gets the number of the process.

    Raises ToolMissing, ToolFailed (it can't be started), and what `consume` raises but for EOFError.
    """
    begun = time.monotonic()
    with tempfile.TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        process = start(argv, file, env, cwd, advice)
    assert process.stdout is not None
    started(process.pid)
    tail, late = bytearray(), threading.Event()
    listener = threading.Thread(target=_keep_tail, args=(process.stderr, tail), daemon=True)
    listener.start()

    def end_late() -> None:
        late.set()
        _ask_to_end(process, end)

    timer = threading.Timer(timeout, end_late)
    timer.daemon = True
    timer.start()
    try:
        _consume_all(process.stdout, consume)
        process.wait()
    except BaseException:
        process.stdout.close()  # first: who waits until somebody reads would not hear that it is to end
        _ask_to_end(process, end)
        raise
    finally:
        timer.cancel()
        end_group(process)  # whom it left behind
        process.wait()
        listener.join(AFTER)
        _close_pipes(process)
    text = tail.decode("utf-8", "replace")
    return Followed(process.returncode, late.is_set(), text, time.monotonic() - begun)


def _consume_all(out: IO[bytes], consume: Callable[[Callable[[int], bytes]], None]) -> None:
    """Let `consume` read, then read what it has not taken: the process must not wait for a reader."""

    def exactly(size: int) -> bytes:
        data = out.read(size)
        if len(data) < size:
            raise EOFError(f"{size} bytes awaited, {len(data)} came")
        return data

    with suppress(EOFError):
        consume(exactly)
    while out.read(PIECE):
        pass


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdout, process.stderr):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.close()


def _ask_to_end(process: subprocess.Popen[bytes], end: Callable[[], None]) -> None:
    with suppress(TimeproofError):
        end()
    try:
        process.wait(timeout=_TO_END)
    except subprocess.TimeoutExpired:
        end_group(process)
