"""A container's output: stdout to the byte, of stderr the end."""

from __future__ import annotations

import pytest

from timeproof.base.limits import LIMITS
from timeproof.engines.attached_output import AttachedOutput


def test_stdout_is_read_across_chunks_and_stderr_beside_it() -> None:
    output = AttachedOutput(iter([(b"ab", None), (None, b"one "), (b"cdef", b"two"), (b"g", None)]))
    assert output.read_exactly(3) == b"abc"
    assert output.read_exactly(0) == b""
    assert output.read_exactly(4) == b"defg"
    assert output.log == "one two"
    with pytest.raises(EOFError, match="1 bytes awaited, 0 came"):
        output.read_exactly(1)


def test_what_nobody_reads_is_dropped_and_stderr_is_kept() -> None:
    output = AttachedOutput(iter([(b"x" * 10, None), (None, b"\xff end"), (b"y", None)]))
    output.read_exactly(1)
    output.drain()
    assert output.log == "\ufffd end"
    with pytest.raises(EOFError):
        output.read_exactly(1)


def test_the_log_keeps_its_end_alone() -> None:
    output = AttachedOutput((None, b"%08d" % k) for k in range(LIMITS.log_bytes))
    output.drain()
    assert len(output.log) == LIMITS.log_bytes
    assert output.log.endswith(f"{LIMITS.log_bytes - 1:08d}")
