"""The encoding of ONNX's files, which is that of protocol buffers: fields by number. Standard library only.

https://protobuf.dev/programming-guides/encoding/
"""

from typing import Any, Iterator, Tuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class BadOnnx(Exception):
    """The file is not an ONNX model, or refers to data that it may not have."""


def varint(data: memoryview, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise BadOnnx("not an ONNX file: a number is cut off or too long")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def fields(data: memoryview) -> Iterator[Tuple[int, int, Any]]:
    """Give each field's number, wire type and value: an int, or a memoryview for bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise BadOnnx("not an ONNX file: field number 0")
        if wire == VARINT:
            value, at = varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = varint(data, at)
        elif wire == FIXED64:
            size = 8
        elif wire == FIXED32:
            size = 4
        else:
            raise BadOnnx("not an ONNX file: wire type {}".format(wire))
        if size > len(data) - at:
            raise BadOnnx("not an ONNX file: it is cut off")
        yield number, wire, data[at : at + size]
        at += size


def text(view: memoryview) -> str:
    """Decode a name. Raises BadOnnx."""
    try:
        return bytes(view).decode("utf-8")
    except UnicodeDecodeError:
        raise BadOnnx("not an ONNX file: a name is not UTF-8")


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
