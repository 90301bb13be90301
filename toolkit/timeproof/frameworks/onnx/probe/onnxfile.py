"""What an ONNX file says of itself, read without onnx, protobuf or onnxruntime: standard library only.

Finds every tensor whose data lies in another file, wherever it hides, so that it can be checked before
a runtime opens it. The field numbers are those of onnx.proto (https://github.com/onnx/onnx, IR 13);
the encoding is https://protobuf.dev/programming-guides/encoding/.
"""

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple, Union

Dim = Union[int, str, None]

_DEPTH = 100  # nested messages; protobuf's own parsers stop there, too
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_EXTERNAL = 1  # TensorProto.DataLocation.EXTERNAL

# Which fields of which message hold which message. Only what may lead to a tensor, or is reported.
_BELOW: Dict[str, Dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "opset": {},
    "tensor": {},
}


class BadOnnx(Exception):
    """The file is not an ONNX model, or refers to data that it may not have."""


class Value(NamedTuple):
    """A graph's input or output. `dims`: a size, a symbol's name, or None; all None where not a tensor."""

    name: str
    elem_type: int
    dims: Optional[Tuple[Dim, ...]]


class External(NamedTuple):
    """A tensor's data in another file: bytes `offset` to `offset + length`, or to the end."""

    tensor: str
    location: str
    offset: int
    length: Optional[int]


class OnnxFile(NamedTuple):
    """What the file says. `domains`: of all nodes and functions; `opsets`: version by domain."""

    ir_version: int
    producer: str
    opsets: Dict[str, int]
    inputs: Tuple[Value, ...]
    outputs: Tuple[Value, ...]
    domains: Tuple[str, ...]
    external: Tuple[External, ...]


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


def _entry(view: memoryview) -> Tuple[str, str]:
    key = value = ""
    for number, wire, item in fields(view):
        if wire == BYTES and number == 1:
            key = text(item)
        elif wire == BYTES and number == 2:
            value = text(item)
    return key, value


def _size(text: str, what: str, tensor: str) -> int:
    if not text or len(text) > 19 or any(c not in "0123456789" for c in text):
        raise BadOnnx("the tensor {!r} has external data with the {} {!r}".format(tensor, what, text[:40]))
    return int(text)


def _external(view: memoryview) -> Optional[External]:
    """Read a TensorProto; None where its data lies in the model's own file.

    Entries without the EXTERNAL mark count, too: parsers merge a message that is given twice, so
    that the mark may stand in another copy than the place.
    """
    name, marked = "", False
    entries: Dict[str, str] = {}
    for number, wire, item in fields(view):
        if number == 8 and wire == BYTES:
            name = text(item)
        elif number == 14 and wire == VARINT:
            marked = marked or item == _EXTERNAL
        elif number == 13 and wire == BYTES:
            key, value = _entry(item)
            if key in entries:
                raise BadOnnx("the tensor {!r} names its external {} twice".format(name, key))
            entries[key] = value
    if not marked and not entries:
        return None
    if not entries.get("location"):
        raise BadOnnx("the tensor {!r} has external data, but no place for it".format(name))
    length = entries.get("length")
    return External(
        name,
        entries["location"],
        _size(entries.get("offset") or "0", "offset", name),
        _size(length, "length", name) if length else None,
    )


def _value(view: memoryview) -> Value:
    name, elem_type = "", 0
    dims: Optional[List[Dim]] = None
    for number, wire, item in fields(view):
        if wire != BYTES:
            continue
        if number == 1:
            name = text(item)
        elif number == 2:
            for kind, wire_1, tensor in fields(item):
                if kind != 1 or wire_1 != BYTES:  # only tensor_type has a shape that we report
                    continue
                for field, wire_2, below in fields(tensor):
                    if field == 1 and wire_2 == VARINT:
                        elem_type = below
                    elif field == 2 and wire_2 == BYTES:
                        dims = [_dim(dim) for one, w, dim in fields(below) if one == 1 and w == BYTES]
    return Value(name, elem_type, None if dims is None else tuple(dims))


def _dim(view: memoryview) -> Dim:
    found: Dim = None
    for number, wire, item in fields(view):
        if number == 1 and wire == VARINT:
            found = signed(item)
        elif number == 2 and wire == BYTES:
            found = text(item)
    return found


def _tensor_name(view: memoryview) -> str:
    name = ""
    for number, wire, item in fields(view):
        if number == 8 and wire == BYTES:
            name = text(item)
    return name


def messages(data: Union[bytes, memoryview]) -> Iterator[Tuple[str, int, memoryview]]:
    """Give each message that may lead to a tensor or is reported: its kind (of `_BELOW`), depth, bytes.

    Time is linear, memory is that of one message's children, nesting is bounded. Raises BadOnnx.
    """
    stack = [("model", 0, memoryview(data))]
    while stack:
        kind, depth, view = stack.pop()
        if depth > _DEPTH:
            raise BadOnnx("the graphs are nested too deeply")
        yield kind, depth, view
        for number, wire, item in fields(view) if _BELOW[kind] else ():
            if wire == BYTES and number in _BELOW[kind]:
                stack.append((_BELOW[kind][number], depth + 1, item))


def inspect(data: Union[bytes, memoryview]) -> OnnxFile:
    """Read an ONNX file's bytes. Time is linear, memory is that of the answer, nesting is bounded.

    Raises:
        BadOnnx: it isn't one, or external data has no sensible place.
    """
    ir_version, producer = 0, ""
    opsets: Dict[str, int] = {}
    inputs: List[Value] = []
    outputs: List[Value] = []
    domains: Set[str] = set()
    initialised: Set[str] = set()
    external: List[External] = []
    graphs = 0
    for kind, depth, view in messages(data):
        if kind == "tensor":
            place = _external(view)
            if place is not None:
                external.append(place)
            continue
        domain, version = "", 0
        for number, wire, item in fields(view):
            if kind == "model":
                if number == 1 and wire == VARINT:
                    ir_version = signed(item)
                elif number == 2 and wire == BYTES:
                    producer = text(item)
                elif number == 7 and wire == BYTES:
                    graphs += 1
            elif kind == "graph" and depth == 1 and wire == BYTES:
                if number == 5:
                    initialised.add(_tensor_name(item))
                elif number in (11, 12):
                    (inputs if number == 11 else outputs).append(_value(item))
            elif wire == BYTES and (kind, number) in (("node", 7), ("function", 10)):
                domains.add(text(item))
            elif kind == "opset" and number == 1 and wire == BYTES:
                domain = text(item)
            elif kind == "opset" and number == 2 and wire == VARINT:
                version = signed(item)
        if kind == "opset" and depth == 1:
            opsets["" if domain == "ai.onnx" else domain] = version
    if not graphs or ir_version <= 0:
        raise BadOnnx("not an ONNX file: it holds no graph or no IR version")
    return OnnxFile(
        ir_version,
        producer,
        opsets,
        tuple(value for value in inputs if value.name not in initialised),
        tuple(outputs),
        tuple(sorted(domains)),
        tuple(sorted(external, key=lambda e: (e.location, e.offset, e.tensor))),
    )


def check_location(location: str) -> None:
    """Refuse a place that isn't a plain relative path below the model's own folder. Raises BadOnnx."""
    bad = "\\" in location or any(ord(c) < 32 for c in location) or location[1:2] == ":"
    if bad or any(part in ("", ".", "..") for part in location.split("/")):
        raise BadOnnx("external data at {!r}: not a plain relative path".format(location))


def check_external(found: OnnxFile, listed: Mapping[str, int]) -> None:
    """Refuse external data that doesn't lie wholly inside one of the `listed` files.

    Args:
        listed: sizes in bytes, by path relative to the model's own folder.

    Raises:
        BadOnnx: with the tensor's name and place.
    """
    for item in found.external:
        check_location(item.location)
        size = listed.get(item.location)
        if size is None:
            raise BadOnnx(
                "the tensor {!r} has its data in {!r}, which is not among the artifact's files".format(
                    item.tensor, item.location
                )
            )
        if item.offset > size or item.offset + (item.length or 0) > size:
            raise BadOnnx(
                "the tensor {!r} has its data at bytes {} to {} of {!r}, which has {}".format(
                    item.tensor, item.offset, item.offset + (item.length or 0), item.location, size
                )
            )
