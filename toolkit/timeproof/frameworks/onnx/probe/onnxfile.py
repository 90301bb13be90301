"""What an ONNX file says of itself, read without onnx, protobuf or onnxruntime: standard library only.

Finds every tensor whose data lies in another file, wherever it hides, so that it can be checked before
a runtime opens it. The field numbers are those of onnx.proto (https://github.com/onnx/onnx, IR 13);
the encoding is read by `wire_format`.
"""

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple, Union

from .wire_format import BYTES, VARINT, BadOnnx, fields, signed, text

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
    dims: Optional[Tuple[Dim, ...]] = None
    for number, wire, item in fields(view):
        if number == 1 and wire == BYTES:
            name = text(item)
        elif number == 2 and wire == BYTES:
            for kind, kind_wire, tensor in fields(item):
                if kind == 1 and kind_wire == BYTES:  # only tensor_type has a shape that we report
                    elem_type, dims = _tensor_type(tensor, elem_type, dims)
    return Value(name, elem_type, dims)


def _tensor_type(
    view: memoryview, elem_type: int, dims: Optional[Tuple[Dim, ...]]
) -> Tuple[int, Optional[Tuple[Dim, ...]]]:
    """Read a type's element and shape; each stays as it is where the type does not say it."""
    for number, wire, item in fields(view):
        if number == 1 and wire == VARINT:
            elem_type = item
        elif number == 2 and wire == BYTES:
            dims = tuple(_dim(dim) for field, w, dim in fields(item) if field == 1 and w == BYTES)
    return elem_type, dims


def _dim(view: memoryview) -> Dim:
    size: Dim = None
    for number, wire, item in fields(view):
        if number == 1 and wire == VARINT:
            size = signed(item)
        elif number == 2 and wire == BYTES:
            size = text(item)
    return size


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


class _Summary:
    """What the messages of a file say, collected one by one."""

    def __init__(self) -> None:
        self.ir_version, self.producer, self.graphs = 0, "", 0
        self.opsets: Dict[str, int] = {}
        self.inputs: List[Value] = []
        self.outputs: List[Value] = []
        self.domains: Set[str] = set()
        self.initialised: Set[str] = set()
        self.external: List[External] = []

    def add(self, kind: str, depth: int, view: memoryview) -> None:
        """Take in one message. All of its fields are walked, so that a broken one is noticed."""
        if kind == "model":
            self._add_model(view)
        elif kind == "graph" and depth == 1:
            self._add_graph(view)
        elif kind == "opset":
            self._add_opset(view, depth)
        elif kind == "tensor":
            place = _external(view)
            self.external += [] if place is None else [place]
        else:
            self._add_domain(view, {"node": 7, "function": 10}.get(kind, 0))

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
            if number == 5 and wire == BYTES:
                self.initialised.add(_tensor_name(item))
            elif number == 11 and wire == BYTES:
                self.inputs.append(_value(item))
            elif number == 12 and wire == BYTES:
                self.outputs.append(_value(item))

    def _add_opset(self, view: memoryview, depth: int) -> None:
        domain, version = "", 0
        for number, wire, item in fields(view):
            if number == 1 and wire == BYTES:
                domain = text(item)
            elif number == 2 and wire == VARINT:
                version = signed(item)
        if depth == 1:  # a function has opsets of its own
            self.opsets["" if domain == "ai.onnx" else domain] = version

    def _add_domain(self, view: memoryview, field: int) -> None:
        for number, wire, item in fields(view):
            if number == field and wire == BYTES:
                self.domains.add(text(item))

    def finish(self) -> OnnxFile:
        """Raises BadOnnx where it is no model."""
        if not self.graphs or self.ir_version <= 0:
            raise BadOnnx("not an ONNX file: it holds no graph or no IR version")
        return OnnxFile(
            self.ir_version,
            self.producer,
            self.opsets,
            tuple(value for value in self.inputs if value.name not in self.initialised),
            tuple(self.outputs),
            tuple(sorted(self.domains)),
            tuple(sorted(self.external, key=lambda e: (e.location, e.offset, e.tensor))),
        )


def inspect(data: Union[bytes, memoryview]) -> OnnxFile:
    """Read an ONNX file's bytes. Time is linear, memory is that of the answer, nesting is bounded.

    Raises:
        BadOnnx: it isn't one, or external data has no sensible place.
    """
    summary = _Summary()
    for kind, depth, view in messages(data):
        summary.add(kind, depth, view)
    return summary.finish()


def check_location(location: str) -> None:
    """Refuse a place that isn't a plain relative path below the model's own folder. Raises BadOnnx."""
    bad = "\\" in location or any(ord(c) < 32 for c in location) or location[1:2] == ":"
    if bad or any(part in ("", ".", "..") for part in location.split("/")):
        raise BadOnnx("external data at {!r}: not a plain relative path".format(location))


def check_external(file: OnnxFile, listed: Mapping[str, int]) -> None:
    """Refuse external data that doesn't lie wholly inside one of the `listed` files.

    Args:
        listed: sizes in bytes, by path relative to the model's own folder.

    Raises:
        BadOnnx: with the tensor's name and place.
    """
    for item in file.external:
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
