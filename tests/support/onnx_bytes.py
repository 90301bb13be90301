"""Write ONNX files byte by byte, well formed or not, without the onnx package."""

from __future__ import annotations


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def text(field: int, value: str) -> bytes:
    return message(field, value.encode())


def tensor(name: str, **external: str) -> bytes:
    """A float TensorProto of two elements; external where `location` and the like are given."""
    body = number(1, 2) + number(2, 1) + text(8, name)
    if not external:
        return body + message(9, b"\x00\x00\x80\x3f" * 2)
    for key, value in external.items():
        body += message(13, text(1, key), text(2, value))
    return body + number(14, 1)


def value_info(name: str, *dims: int | str) -> bytes:
    shape = b"".join(message(1, number(1, d) if isinstance(d, int) else text(2, d)) for d in dims)
    return text(1, name) + message(2, message(1, number(1, 1), message(2, shape)))


def attribute(*parts: bytes) -> bytes:
    return message(5, text(1, "value"), *parts)


def node(kind: str, inputs: list[str], outputs: list[str], *parts: bytes, domain: str = "") -> bytes:
    body = b"".join(text(1, name) for name in inputs) + b"".join(text(2, name) for name in outputs)
    return body + text(4, kind) + b"".join(parts) + (text(7, domain) if domain else b"")


def model(*graph: bytes, ir_version: int = 8, more: bytes = b"") -> bytes:
    """A ModelProto whose graph has these parts, opset 13."""
    return number(1, ir_version) + message(7, text(2, "g"), *graph) + message(8, number(2, 13)) + more


def adding(initializer: bytes) -> bytes:
    """A model `y = x + w` for x of shape [n, 2], with `w` as given (a TensorProto named w)."""
    return model(
        message(1, node("Add", ["x", "w"], ["y"])),
        message(5, initializer),
        message(11, value_info("x", "n", 2)),
        message(12, value_info("y", "n", 2)),
    )
