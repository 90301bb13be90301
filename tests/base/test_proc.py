"""The one door for subprocesses: what hangs is ended, what floods is cut off, what fails is quoted."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from support.waiting import HANG_SECONDS, wait_until_gone

from timeproof.base import proc
from timeproof.base.limits import LIMITS
from timeproof.errors import ToolFailed, ToolMissing


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_output_and_exit_code_come_back() -> None:
    done = proc.run(shell("echo out; echo err >&2; exit 3"), check=False)
    assert (done.exit_code, done.stdout, done.tail) == (3, b"out\n", "err")


def test_the_words_of_a_failed_tool_are_shown() -> None:
    with pytest.raises(ToolFailed, match="no such image") as caught:
        proc.run(shell("echo out; echo no such image >&2; exit 125"))
    assert (caught.value.tool, caught.value.tool_exit_code) == ("sh", 125)
    with pytest.raises(ToolFailed, match="said on stdout"):
        proc.run(shell("echo said on stdout; exit 1"))


def test_a_tool_that_dies_by_a_signal_has_failed() -> None:
    with pytest.raises(ToolFailed) as caught:
        proc.run(shell("kill -SEGV $$"))
    assert caught.value.tool_exit_code == -11


def test_a_missing_tool_is_named_with_the_advice() -> None:
    with pytest.raises(ToolMissing, match="no-such-tool is not installed") as caught:
        proc.run(["/opt/no-such-tool", "x"], advice="install it")
    assert caught.value.advice == "install it"


def test_a_file_that_can_not_be_executed_is_no_tool(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"#!/bin/sh\n")
    with pytest.raises(ToolMissing):
        proc.run([tmp_path / "tool"])
    (tmp_path / "tool").write_bytes(b"\x7fELF of some other machine")
    (tmp_path / "tool").chmod(0o755)
    with pytest.raises(ToolFailed, match="Exec format error"):
        proc.run([tmp_path / "tool"])


def test_a_missing_working_folder_is_not_blamed_on_the_tool(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        proc.run(["true"], cwd=tmp_path / "none")


def test_output_that_is_not_utf8_is_read_with_replacement() -> None:
    lines: list[str] = []
    done = proc.run(shell(r"printf 'a\377b\n' >&2; printf '\377\000'"), on_line=lines.append)
    assert done.stdout == b"\xff\x00"
    assert done.tail == lines[0] == "a\ufffdb"
    with pytest.raises(ToolFailed, match="a\ufffdb"):
        proc.run(shell(r"printf 'a\377b\n' >&2; exit 1"))


def test_input_is_passed_and_a_large_one_too() -> None:
    data = bytes(range(256)) * 40_000  # 10 MB, against a pipe of 64 kB each way
    assert proc.run(["cat"], stdin=data).stdout == data
    assert proc.run(["cat"], stdin=b"").stdout == b""


def test_no_input_is_an_empty_one_and_not_ours() -> None:
    assert proc.run(["cat"]).stdout == b""


def test_a_tool_need_not_read_its_input() -> None:
    assert proc.run(["true"], stdin=b"x" * 10_000_000).exit_code == 0


def test_a_tool_that_neither_reads_nor_ends_is_still_timed_out() -> None:
    started = time.monotonic()
    with pytest.raises(ToolFailed, match="ran out of time"):
        proc.run(["sleep", "3000"], stdin=b"x" * 10_000_000, timeout=0.5)
    assert time.monotonic() - started < HANG_SECONDS


@pytest.mark.parametrize(
    "script", ["sleep 3000 & echo $! >&2; wait", "trap '' TERM INT HUP; sleep 3000 & echo $! >&2; wait"]
)
def test_a_timeout_ends_the_whole_process_group(script: str) -> None:
    started = time.monotonic()
    with pytest.raises(ToolFailed) as caught:
        proc.run(shell(script), timeout=3.0)
    assert time.monotonic() - started < HANG_SECONDS
    assert caught.value.tool_exit_code is None
    wait_until_gone(int(caught.value.tail))


def test_a_timeout_shows_what_was_said_last() -> None:
    with pytest.raises(ToolFailed, match="waiting for the lock"):
        proc.run(shell("echo waiting for the lock >&2; sleep 3000"), timeout=3.0)


def test_silence_does_not_outlast_the_timeout() -> None:
    started = time.monotonic()
    with pytest.raises(ToolFailed, match="ran out of time"):
        proc.run(shell("exec >&- 2>&-; sleep 3000"), timeout=0.5)
    assert time.monotonic() - started < HANG_SECONDS


def test_a_child_left_behind_with_the_pipes_is_not_waited_for() -> None:
    started = time.monotonic()
    done = proc.run(shell("sleep 3000 & echo $!"))
    try:
        assert time.monotonic() - started < HANG_SECONDS
    finally:
        os.kill(int(done.stdout), 9)


def test_a_flood_is_cut_off_and_never_silently() -> None:
    started = time.monotonic()
    with pytest.raises(ToolFailed, match="printed more than 100000 bytes"):
        proc.run(["yes"], stdout_limit=100_000)
    assert time.monotonic() - started < HANG_SECONDS
    exact = proc.run(python("print('x' * 99999)"), stdout_limit=100_000)
    assert len(exact.stdout) == 100_000


def test_a_flood_of_messages_leaves_a_bounded_tail() -> None:
    done = proc.run(python("import sys\nfor i in range(100000): print('line', i, file=sys.stderr)"))
    assert done.tail.splitlines()[-1] == "line 99999"
    assert len(done.tail.splitlines()) == 40
    endless = proc.run(python("import sys; sys.stderr.write('x' * 5_000_000)"))
    assert 0 < len(endless.tail) <= LIMITS.log_bytes


def test_both_pipes_may_be_filled_at_once() -> None:
    script = (
        "import sys\nfor i in range(200): sys.stderr.write('e' * 9999 + '\\n'); sys.stdout.write('o' * 9999)"
    )
    done = proc.run(python(script))
    assert len(done.stdout) == 200 * 9999


def test_lines_are_heard_as_they_come(tmp_path: Path) -> None:
    """The tool goes on only when its first line has been heard."""
    heard: list[str] = []
    go = tmp_path / "go"

    def listen(line: str) -> None:
        heard.append(line)
        go.touch()

    script = f"echo first >&2; while ! [ -e '{go}' ]; do sleep 0.05; done; printf 'half\\rlast' >&2"
    proc.run(shell(script), on_line=listen)
    assert heard == ["first", "half", "last"]


def test_an_error_in_the_listener_ends_the_tool() -> None:
    def listen(line: str) -> None:
        raise KeyError(line)

    with pytest.raises(KeyError) as caught:
        proc.run(shell("echo $$ >&2; sleep 3000"), on_line=listen)
    wait_until_gone(int(caught.value.args[0]))


def test_the_environment_is_ours_or_exactly_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMEPROOF_TESTED", "ours")
    assert proc.run(shell("echo $TIMEPROOF_TESTED")).stdout == b"ours\n"
    assert proc.run(["/usr/bin/env"], env={"ONLY": "this"}).stdout == b"ONLY=this\n"


def test_words_are_never_read_by_a_shell(tmp_path: Path) -> None:
    marker = tmp_path / "made"
    assert proc.run(["echo", f"; touch {marker}", "$HOME", "*"], cwd=tmp_path).stdout == (
        f"; touch {marker} $HOME *\n".encode()
    )
    assert not marker.exists()


def test_nothing_is_left_open_whatever_happened() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count(), threading.active_count()
    for argv, stdin in [
        (["true"], b"x" * 100_000),
        (["false"], None),
        (["yes"], None),
        (["sleep", "9"], b""),
    ]:
        try:
            proc.run(argv, stdin=stdin, timeout=0.5, stdout_limit=1000)
        except ToolFailed:
            continue
    assert (count(), threading.active_count()) == before
