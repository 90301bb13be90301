"""A command whose output is handed on as it comes: it is ended when it is late or nobody reads on."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from support.waiting import HANG_SECONDS

from timeproof.base import streaming
from timeproof.errors import ToolMissing


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def nobody() -> None:
    raise AssertionError("it needn't be asked to end")


def test_what_comes_is_handed_on_and_the_log_is_kept():
    got = []
    done = streaming.follow(
        python("import os, sys; os.write(1, b'abcdef'); os.write(2, b'\\xff log'); sys.exit(3)"),
        lambda read: got.extend([read(2), read(3)]),
        end=nobody,
        timeout=HANG_SECONDS,
    )
    assert got == [b"ab", b"cde"]
    assert (done.exit_code, done.late, done.tail) == (3, False, "\ufffd log")


def test_a_reader_that_wants_more_than_comes_is_stopped_and_its_input_is_given():
    got = []
    words = python("import sys; sys.stdout.write(sys.stdin.read()[::-1])")
    streaming.follow(
        words,
        lambda read: [got.append(read(2)) for _ in range(9)],
        end=nobody,
        timeout=HANG_SECONDS,
        stdin=b"123",
    )
    assert got == [b"32"]


def test_who_is_late_is_asked_to_end():
    started: list[int] = []
    done = streaming.follow(
        python("import time; time.sleep(3000)"),
        lambda read: None,
        end=lambda: os.kill(started[0], signal.SIGTERM),
        started=started.append,
        timeout=0.5,
    )
    assert (done.exit_code, done.late) == (-signal.SIGTERM, True)


def test_where_the_reader_gives_up_the_process_is_ended_first():
    class Enough(Exception):
        pass

    started: list[int] = []

    def consume(read) -> None:
        read(1)
        raise Enough

    with pytest.raises(Enough):
        streaming.follow(
            python("while True: print('x' * 4096)"),
            consume,
            end=lambda: os.kill(started[0], signal.SIGKILL),
            started=started.append,
            timeout=HANG_SECONDS,
        )
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_what_can_not_be_followed_is_named():
    with pytest.raises(ToolMissing, match="nothing-of-that-name"):
        streaming.follow(["nothing-of-that-name"], lambda read: None, end=nobody, timeout=3.0)
