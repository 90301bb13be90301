"""The one door for subprocesses.

Every command that the toolkit starts goes through `run`, or through `streaming.follow` where its output is
handed on as it comes: an argument list (never a shell), output decoded with replacement, a bounded tail
kept for messages, and the whole process group ended when the time is over or the caller is interrupted.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from timeproof.base.limits import LIMITS
from timeproof.errors import ToolFailed, ToolMissing

_TAIL_LINES = 40
PIECE = 1 << 16  # bytes read or written in one go
_GLANCE = 0.2  # seconds between looks at a process whose pipes are silent
AFTER = 5.0  # seconds that others may go on talking after a process has ended


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command did. `stdout` is whole bytes; `tail` the last lines of stderr, as text."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    tail: str


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started in its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class _Talk:
    """All that passes between us and one process, in one loop: no pipe can make another wait."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stdin: bytes,
        on_line: Callable[[str], None] | None,
        stdout_limit: int,
    ) -> None:
        self._process = process
        self._unsent = memoryview(stdin)
        self._on_line = on_line
        self._limit = stdout_limit
        self._line = bytearray()
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.out = bytearray()
        self.flooded = False

    def __enter__(self) -> _Talk:
        self._selector = selectors.DefaultSelector()
        for stream, event, act in (
            (self._process.stdin, selectors.EVENT_WRITE, self._give),
            (self._process.stdout, selectors.EVENT_READ, self._hear_out),
            (self._process.stderr, selectors.EVENT_READ, self._hear_err),
        ):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, event, act)
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def follow(self, deadline: float) -> bool:
        """Talk until the process has ended; return whether the deadline ended it.

        A child that it leaves behind may hold the pipes for ever, and is not waited for.
        """
        over = False
        ended: float | None = None
        while self._selector.get_map():
            ready = self._selector.select(max(0.0, min(_GLANCE, deadline - time.monotonic())))
            for key, _ in ready:
                if not key.data():
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]  # one of the three pipes
            now = time.monotonic()
            if self._process.poll() is not None:
                ended = now if ended is None else ended
                if not ready or now > ended + AFTER:
                    break
            if self.flooded or now >= deadline:
                over = not self.flooded
                end_group(self._process)
                break
        try:
            self._process.wait(timeout=max(0.0, deadline - time.monotonic()) if not over else None)
        except subprocess.TimeoutExpired:
            over = True
            end_group(self._process)
            self._process.wait()
        self._end_line()
        return over

    def _give(self) -> bool:
        assert self._process.stdin is not None
        try:
            self._unsent = self._unsent[os.write(self._process.stdin.fileno(), self._unsent[:PIECE]) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:  # it needn't read what it was given
            return False
        return bool(self._unsent)

    def _hear_out(self) -> bool:
        assert self._process.stdout is not None
        data = os.read(self._process.stdout.fileno(), PIECE)
        self.flooded = len(self.out) + len(data) > self._limit
        if not self.flooded:
            self.out += data
        return bool(data)

    def _hear_err(self) -> bool:
        assert self._process.stderr is not None
        data = os.read(self._process.stderr.fileno(), PIECE)
        for part in data.splitlines(keepends=True):
            self._line += part
            if part.endswith((b"\n", b"\r")) or len(self._line) >= LIMITS.log_bytes:
                self._end_line()
        return bool(data)

    def _end_line(self) -> None:
        if not self._line:
            return
        line = self._line.decode("utf-8", "replace").rstrip("\r\n")
        self._line.clear()
        self.tail.append(line)
        if self._on_line is not None:
            self._on_line(line)


def start(
    argv: Sequence[str | Path],
    stdin: int | IO[bytes],
    env: Mapping[str, str] | None,
    cwd: Path | None,
    advice: str,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a group of its own, its output in pipes. Raises ToolMissing, ToolFailed."""
    words = [os.fspath(a) for a in argv]
    tool = os.path.basename(words[0])
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
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
    except OSError as error:
        if cwd is not None and not cwd.is_dir():
            raise
        raise ToolFailed(tool, 126, error.strerror or str(error)) from error


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
        stdin: bytes to be read; a process that does not read them is not waited for.
        on_line: called with each line of stderr, as it comes.
        check: raise where the exit code is not 0.
        stdout_limit: bytes of stdout kept; more is an error, never silently cut.

    Raises:
        ToolMissing: there is no such program; `advice` is passed on.
        ToolFailed: it failed (`check`), printed too much, or ran out of time.
    """
    words = tuple(os.fspath(a) for a in argv)
    tool = os.path.basename(words[0])
    process = start(words, subprocess.DEVNULL if stdin is None else subprocess.PIPE, env, cwd, advice)
    talk = _Talk(process, stdin or b"", on_line, stdout_limit)
    try:
        with talk:
            over = talk.follow(time.monotonic() + timeout)
    except BaseException:
        end_group(process)
        process.wait()
        raise
    text = "\n".join(talk.tail)[-LIMITS.log_bytes :]
    if talk.flooded:
        raise ToolFailed(tool, process.returncode, f"it printed more than {stdout_limit} bytes")
    if over:
        raise ToolFailed(tool, None, text)
    if check and process.returncode != 0:
        output = text or bytes(talk.out[-4000:]).decode("utf-8", "replace")
        raise ToolFailed(tool, process.returncode, output)
    return Completed(words, process.returncode, bytes(talk.out), text)
