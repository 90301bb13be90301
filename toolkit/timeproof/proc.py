"""The one door for subprocesses.

Every command that the toolkit starts goes through `run`: an argument list (never a shell), output
decoded with replacement, a bounded tail kept for messages, and the whole process group ended when
the time is over or the caller is interrupted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from timeproof.errors import ToolFailed, ToolMissing
from timeproof.limits import LIMITS

_TAIL_LINES = 40


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command did. `stdout` is whole bytes; `tail` the last lines of stderr, as text."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    tail: str


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    timeout: float = 600.0,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    advice: str = "",
    stdout_limit: int = 256 * 2**20,
) -> Completed:
    """Run `argv` to its end.

    Args:
        env: the whole environment; None inherits ours.
        timeout: seconds, after which the whole process group is killed.
        on_line: called, from another thread, with each line of stderr.
        check: raise where the exit code is not 0.
        stdout_limit: bytes of stdout kept; more is an error, never silently cut.

    Raises:
        ToolMissing: there is no such program; `advice` is passed on.
        ToolFailed: it failed (`check`), printed too much, or ran out of time.
    """
    words = tuple(os.fspath(a) for a in argv)
    tool = os.path.basename(words[0])
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise
        raise ToolMissing(tool, advice=advice) from error
    except PermissionError as error:
        raise ToolMissing(tool, advice=advice) from error

    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    out = bytearray()
    flooded = False

    def read_err(stream: IO[bytes]) -> None:
        for raw in iter(lambda: stream.readline(LIMITS.log_bytes), b""):
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            tail.append(line)
            if on_line is not None:
                on_line(line)

    def read_out(stream: IO[bytes]) -> None:
        nonlocal flooded
        while chunk := stream.read1(1 << 16):  # type: ignore[attr-defined]  # a BufferedReader
            if len(out) + len(chunk) > stdout_limit:
                flooded = True
                _end_group(process)
                return
            out.extend(chunk)

    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=read_err, args=(process.stderr,), daemon=True),
        threading.Thread(target=read_out, args=(process.stdout,), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.write(stdin or b"")
                process.stdin.close()
        process.wait(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end_group(process)
        process.wait()
        raise ToolFailed(tool, None, "\n".join(tail)) from None
    except BaseException:
        _end_group(process)
        process.wait()
        raise
    finally:
        for reader in readers:
            reader.join(timeout=5.0)
        process.stdout.close()
        process.stderr.close()

    text = "\n".join(tail)
    if flooded:
        raise ToolFailed(tool, process.returncode, f"it printed more than {stdout_limit} bytes")
    if check and process.returncode != 0:
        shown = text or bytes(out[-4000:]).decode("utf-8", "replace")
        raise ToolFailed(tool, process.returncode, shown)
    return Completed(words, process.returncode, bytes(out), text)
