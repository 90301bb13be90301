"""What an ONNX model says of its graph's inputs and outputs: names, kinds and element types. No IO here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from timeproof.frameworks.onnx.probe.elements import BY_NUMBER, Element
from timeproof.frameworks.onnx.probe.wire_format import BYTES, VARINT, BadOnnx, fields, text

Kind = Literal["tensor", "sequence", "map", "sparse", "optional", ""]
_KINDS: dict[int, Kind] = {1: "tensor", 4: "sequence", 5: "map", 8: "sparse", 9: "optional"}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph. `element` and `rank` of tensors only, and only where they are stated."""

    name: str
    kind: Kind
    element: Element | None = None
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """All inputs in the file's order (those with an initializer too), and all outputs."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    initialised: frozenset[str]


def read(data: bytes) -> Graph:
    """Read a model's bytes. Raises BadOnnx."""
    inputs: list[Port] = []
    outputs: list[Port] = []
    initialised: set[str] = set()
    for graph in _each(memoryview(data), 7):
        for number, wire, item in fields(graph):
            if wire == BYTES and number in (11, 12):
                (inputs if number == 11 else outputs).append(_port(item))
            elif wire == BYTES and number == 5:
                initialised.update(text(name) for name in _each(item, 8))
    for ports, side in ((inputs, "inputs"), (outputs, "outputs")):
        if len({p.name for p in ports}) != len(ports):
            raise BadOnnx(f"two of the graph's {side} have one name")
    return Graph(tuple(inputs), tuple(outputs), frozenset(initialised))


def _each(view: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, wire, item in fields(view):
        if number == wanted and wire == BYTES:
            yield item


def _port(view: memoryview) -> Port:
    name = "".join(text(item) for item in _each(view, 1))
    for kind in _each(view, 2):
        for number, wire, item in fields(kind):
            if wire == BYTES and number in _KINDS:
                if number != 1:
                    return Port(name, _KINDS[number])
                return Port(name, "tensor", _element(item), _rank(item))
    return Port(name, "")


def _element(view: memoryview) -> Element | None:
    numbers = [item for number, wire, item in fields(view) if number == 1 and wire == VARINT]
    return BY_NUMBER.get(numbers[-1]) if numbers else None


def _rank(view: memoryview) -> int | None:
    shapes = [sum(1 for _ in _each(shape, 1)) for shape in _each(view, 2)]
    return shapes[-1] if shapes else None
