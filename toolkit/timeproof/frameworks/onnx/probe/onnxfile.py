"""What an ONNX file says of itself, read without onnx, protobuf or onnxruntime: standard library only.

Finds every tensor whose data lies in another file, wherever it hides, so that it can be checked before
a runtime opens it. The field numbers are those of onnx.proto (https://github.com/onnx/onnx, IR 13);
`protobuf` reads the encoding.
"""

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple, Union

from .protobuf import BYTES, VARINT, fields, signed, text
from .protobuf import BadOnnx as BadOnnx  # who inspects a file catches it

Dim = Union[int, str, None]

_DEPTH = 100  # nested messages; protobuf's own parsers stop there, too
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


_DOMAIN_FIELDS = {"node": 7, "function": 10}


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


def _entry(view: memoryview) -> Tuple[str, str]:
    key = value = ""
    for number, wire, item in fields(view):
        if wire == BYTES and number == 1:
            key = text(item)
        elif wire == BYTES and number == 2:
            value = text(item)
    return key, value


def _size(text: str, entry: str, tensor: str) -> int:
    if not text or len(text) > 19 or any(c not in "0123456789" for c in text):
        raise BadOnnx("the tensor {!r} has external data with the {} {!r}".format(tensor, entry, text[:40]))
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
                        dims = [_dim(dim) for at, w, dim in fields(below) if at == 1 and w == BYTES]
    return Value(name, elem_type, None if dims is None else tuple(dims))


def _dim(view: memoryview) -> Dim:
    dim: Dim = None
    for number, wire, item in fields(view):
        if number == 1 and wire == VARINT:
            dim = signed(item)
        elif number == 2 and wire == BYTES:
            dim = text(item)
    return dim


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


class _Contents:
    """What the messages of one file have said so far."""

    def __init__(self) -> None:
        self.ir_version = 0
        self.producer = ""
        self.graphs = 0
        self.opsets: Dict[str, int] = {}
        self.inputs: List[Value] = []
        self.outputs: List[Value] = []
        self.initialised: Set[str] = set()
        self.domains: Set[str] = set()
        self.external: List[External] = []

    def add(self, kind: str, depth: int, view: memoryview) -> None:
        """Read one message, of which fields deeper down are read with messages of their own."""
        if kind == "tensor":
            place = _external(view)
            if place is not None:
                self.external.append(place)
        elif kind == "model":
            self._add_model(view)
        elif kind == "graph" and depth == 1:
            self._add_graph(view)
        elif kind == "opset":
            self._add_opset(view, reported=depth == 1)
        elif kind in _DOMAIN_FIELDS:
            for number, wire, item in fields(view):
                if wire == BYTES and number == _DOMAIN_FIELDS[kind]:
                    self.domains.add(text(item))

    def _add_model(self, view: memoryview) -> None:
        for number, wire, item in fields(view):
            if number == 1 and wire == VARINT:
                self.ir_version = signed(item)
            elif number == 2 and wire == BYTES:
                self.producer = text(item)
            elif number == 7 and wire == BYTES:
                self.graphs += 1

    def _add_graph(self, view: memoryview) -> None:
        for number, wire, item in fields(view):
            if wire != BYTES:
                continue
            if number == 5:
                self.initialised.add(_tensor_name(item))
            elif number == 11:
                self.inputs.append(_value(item))
            elif number == 12:
                self.outputs.append(_value(item))

    def _add_opset(self, view: memoryview, *, reported: bool) -> None:
        domain, version = "", 0
        for number, wire, item in fields(view):
            if number == 1 and wire == BYTES:
                domain = text(item)
            elif number == 2 and wire == VARINT:
                version = signed(item)
        if reported:
            self.opsets["" if domain == "ai.onnx" else domain] = version


def inspect(data: Union[bytes, memoryview]) -> OnnxFile:
    """Read an ONNX file's bytes. Time is linear, memory is that of the result, nesting is bounded.

    Raises:
        BadOnnx: it isn't one, or external data has no sensible place.
    """
    contents = _Contents()
    for kind, depth, view in messages(data):
        contents.add(kind, depth, view)
    if not contents.graphs or contents.ir_version <= 0:
        raise BadOnnx("not an ONNX file: it holds no graph or no IR version")
    return OnnxFile(
        contents.ir_version,
        contents.producer,
        contents.opsets,
        tuple(value for value in contents.inputs if value.name not in contents.initialised),
        tuple(contents.outputs),
        tuple(sorted(contents.domains)),
        tuple(sorted(contents.external, key=lambda e: (e.location, e.offset, e.tensor))),
    )


def check_location(location: str) -> None:
    """Refuse a place that isn't a plain relative path below the model's own folder. Raises BadOnnx."""
    bad = "\\" in location or any(ord(c) < 32 for c in location) or location[1:2] == ":"
    if bad or any(part in ("", ".", "..") for part in location.split("/")):
        raise BadOnnx("external data at {!r}: not a plain relative path".format(location))


def check_external(model: OnnxFile, listed: Mapping[str, int]) -> None:
    """Refuse external data that doesn't lie wholly inside one of the `listed` files.

    Args:
        listed: sizes in bytes, by path relative to the model's own folder.

    Raises:
        BadOnnx: with the tensor's name and place.
    """
    for item in model.external:
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
