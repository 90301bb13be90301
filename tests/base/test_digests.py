"""Digests: one spelling, and hashing that neither grows in memory nor loses what a sink refused."""

from __future__ import annotations

import hashlib
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timeproof.base.digests import Digest

HEX = "0123456789abcdef" * 4


@given(st.binary(max_size=200))
def test_a_digest_is_that_of_sha256_and_survives_its_own_spelling(data: bytes) -> None:
    digest = Digest.of(data)
    assert digest.hex == hashlib.sha256(data).hexdigest()
    assert Digest.parse(str(digest)) == Digest.parse(digest.hex) == digest
    assert Digest.of(memoryview(data)) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        HEX[:-1],
        HEX + "0",
        HEX.upper(),
        HEX[:-1] + "g",
        HEX + "\n",
        " " + HEX,
        "md5:" + HEX,
        "SHA256:" + HEX,
        "sha256:sha256:" + HEX,
        "sha512:" + HEX * 2,
        "٠" * 64,  # digits, though not ASCII's
    ],
)
def test_every_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not 64 lower-case hex digits"):
        Digest.parse(text)


def test_a_digest_can_be_a_key_and_cannot_be_changed() -> None:
    digest = Digest(HEX)
    assert {digest: 1}[Digest.parse(HEX)] == 1
    with pytest.raises(AttributeError):
        digest.hex = "0" * 64  # type: ignore[misc]


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_a_stream_is_hashed_counted_and_copied_whole(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    sink = io.BytesIO()
    assert Digest.of_stream(io.BytesIO(data), sink) == (Digest.of(data), size)
    assert sink.getvalue() == data


def test_only_the_rest_of_a_stream_is_hashed() -> None:
    stream = io.BytesIO(b"head and tail")
    stream.seek(9)
    assert Digest.of_stream(stream) == (Digest.of(b"tail"), 4)


class Reluctant(io.RawIOBase):
    """A raw file that takes at most 1,000 bytes at a time, as one on a nearly full disk may."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def write(self, data: memoryview, /) -> int:  # type: ignore[override]
        self.taken += data[:1000]
        return min(1000, len(data))


def test_a_sink_that_takes_less_than_it_is_given_loses_nothing() -> None:
    data = b"0123456789" * 1000
    sink = Reluctant()
    digest, size = Digest.of_stream(io.BytesIO(data), sink)
    assert bytes(sink.taken) == data
    assert (digest, size) == (Digest.of(data), len(data))


def test_a_sink_that_counts_nothing_is_taken_to_have_it_all() -> None:
    class Silent:
        seen = b""

        def write(self, data: memoryview, /) -> None:
            self.seen += bytes(data)

    sink = Silent()
    Digest.of_stream(io.BytesIO(b"abc" * 500_000), sink)
    assert sink.seen == b"abc" * 500_000


class Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self.left = size

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        n = min(len(buffer), self.left)
        self.left -= n
        return n


def test_memory_stays_flat_as_a_file_grows() -> None:
    tracemalloc.start()
    try:
        _, size = Digest.of_stream(Zeros(200 << 20))  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 200 << 20
    assert peak < 3 << 20
