"""The stream's frames: what is written is read, and nothing else is accepted."""

from __future__ import annotations

import io
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timeproof_probe import output_names, wire

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), below, max_size=4)
    ),
    max_leaves=10,
)


class Drip(io.RawIOBase):
    """A raw stream that takes three bytes at a time."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        part = bytes(data)[:3]
        self.data += part
        return len(part)


@given(JSON, st.binary(max_size=64))
def test_frames_survive_a_round_trip_through_a_slow_stream(value: object, payload: bytes) -> None:
    stream = Drip()
    wire.write_frame(stream, {"kind": "output", "value": value}, payload)  # type: ignore[arg-type]
    reader = io.BytesIO(bytes(stream.data))
    header = wire.read_frame(reader.read)
    assert header == {"kind": "output", "value": value, "payload": len(payload)}
    assert reader.read() == payload


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_otherwise(data: bytes) -> None:
    for stream in (data, wire.MAGIC + struct.pack(">I", len(data)) + data):
        try:
            wire.read_frame(io.BytesIO(stream).read)
        except wire.WireError:
            continue
        assert stream.startswith(wire.MAGIC)


def frame(text: str | bytes) -> io.BytesIO:
    data = text.encode() if isinstance(text, str) else text
    return io.BytesIO(wire.MAGIC + struct.pack(">I", len(data)) + data)


@pytest.mark.parametrize(
    "header",
    [
        '{"kind":"done"}',
        '{"kind":"done","payload":-1}',
        '{"kind":"done","payload":true}',
        '{"kind":"done","payload":1.0}',
        '{"kind":"done","payload":99999999999999999999}',
        '{"kind":1,"payload":0}',
        '{"payload":0}',
        '["kind","payload"]',
        '{"kind":"done","payload":0,"payload":0}',
        '{"kind":"done","payload":0,"x":NaN}',
        '{"kind":"done","payload":0,"x":-Infinity}',
        '{"kind":"done","payload":0,"x":1e999}',
        '{"kind":"done","payload":0,"x":"\\ud800"}',
        '{"kind":"done","payload":' + "9" * 5000 + "}",
        '{"kind":"done","payload":0,"x":' + "[" * 200000,
        b'{"kind":"\xff","payload":0}',
        '{"kind":"done","payload":0}x',
        "",
    ],
)
def test_doubtful_headers_are_refused(header: str | bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.read_frame(frame(header).read)


def test_a_long_header_is_refused_before_it_is_read() -> None:
    asked = []

    def exactly(size: int) -> bytes:
        asked.append(size)
        return (wire.MAGIC + struct.pack(">I", 1001))[:size]

    with pytest.raises(wire.WireError, match="1001 bytes, at most 1000"):
        wire.read_frame(exactly, header_limit=1000)
    assert asked == [8]


def test_nan_never_gets_into_a_header() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.encode_header({"kind": "result", "payload": 0, "seconds": float("nan")})


@given(st.text(st.characters(codec=None)))
def test_plain_text_always_fits_a_header(text: str) -> None:
    clean = wire.plain(text, 50)
    assert len(clean) <= 50
    assert json.loads(wire.encode_header({"kind": "k", "payload": 0, "t": clean})[8:])["t"] == clean


def is_leaf(value: object) -> bool:
    return isinstance(value, int)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (1, ["output"]),
        ((1,), ["output_0"]),
        ([1, 2], ["output_0", "output_1"]),
        ((1, (2, [3])), ["output_0", "output_1_0", "output_1_1_0"]),
        ({"mean": 1, "std": 2}, ["mean", "std"]),
        ({"head": (1, 2)}, ["head_0", "head_1"]),
        ((1, {"a": 2}), ["output_0", "output_1_a"]),
        ((1, None, 3), ["output_0", "output_2"]),
    ],
)
def test_outputs_are_named_by_their_place(answer: object, names: list[str]) -> None:
    assert [name for name, _ in output_names.flatten(answer, is_leaf)] == names


@pytest.mark.parametrize("answer", [None, (), {}, "text", object(), (1, "text"), {"a_b": 1, "a": {"b": 2}}])
def test_answers_without_clear_outputs_are_refused(answer: object) -> None:
    with pytest.raises(ValueError, match=r"output|two outputs"):
        output_names.flatten(answer, is_leaf)


def test_an_answer_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="32 levels"):
        output_names.flatten(endless, is_leaf)
