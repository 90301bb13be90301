"""An ONNX file's nodes and 8-bit weights, for whoever looks for traps in it.

Nothing is loaded or run: the probe's own walker reads the bytes, and weights are looked at where they lie.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from timeproof.frameworks.onnx.probe import onnxfile, wire_format

_INT8 = 3  # TensorProto.DataType.INT8
_CHUNK = 1 << 20
# Bytes of the int8 values -64 to 64.
_SMALL = bytes(range(65)) + bytes(range(192, 256))


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph, of any depth. `seeded`: it has a seed of its own; `axis`: as it states it."""

    kind: str
    domain: str
    inputs: tuple[str, ...]
    seeded: bool
    outputs: tuple[str, ...] = ()
    axis: int | None = None

    @property
    def label(self) -> str:
        return f"{self.domain}.{self.kind}" if self.domain else self.kind


@dataclass(frozen=True, slots=True)
class Weights:
    """A tensor of int8. `largest` is its largest |value|, exact above 64; None where it can't be read."""

    name: str
    largest: int | None


@dataclass(frozen=True, slots=True)
class Graph:
    """What stands in the file: its nodes, its int8 weights by name, and whether one CPU packed its data."""

    nodes: tuple[Node, ...]
    weights: dict[str, Weights]
    prepacked: bool


def read(data: bytes | memoryview, folder: Path | None = None) -> Graph:
    """Walk the file, subgraphs and functions included. Time is linear; weights are read in pieces.

    Args:
        folder: where external data lies; its places must have been checked before.

    Raises:
        wire_format.BadOnnx: it isn't an ONNX file.
    """
    nodes: list[Node] = []
    weights: dict[str, Weights] = {}
    prepacked = False
    for kind, _, view in onnxfile.messages(data):
        if kind == "node":
            node, constant = _node(view)
            nodes.append(node)
            if constant is not None:
                name, tensor = constant
                _keep(weights, _int8(tensor, folder), name)
        elif kind == "tensor":
            prepacked = prepacked or _is_prepacked(view)
            _keep(weights, _int8(view, folder))
    return Graph(tuple(nodes), weights, prepacked)


def _keep(weights: dict[str, Weights], tensor: Weights | None, name: str | None = None) -> None:
    """Add a tensor; of two with one name, in different graphs, the one with the larger values counts."""
    if tensor is None:
        return
    key = name or tensor.name
    before = weights.get(key)
    if before is None or (before.largest is not None and (tensor.largest or 999) > before.largest):
        weights[key] = Weights(key, tensor.largest)


def _node(view: memoryview) -> tuple[Node, tuple[str, memoryview] | None]:
    """Read a node; where it is a constant, its output's name and tensor, too."""
    inputs: list[str] = []
    outputs: list[str] = []
    kind = domain = ""
    seeded = False
    axis: int | None = None
    tensor: memoryview | None = None
    for number, _, item in wire_format.fields(view):
        if not isinstance(item, memoryview):
            continue
        if number == 1:
            inputs.append(wire_format.text(item))
        elif number == 2:
            outputs.append(wire_format.text(item))
        elif number == 4:
            kind = wire_format.text(item)
        elif number == 7:
            domain = wire_format.text(item)
        elif number == 5:
            attribute = {part: value for part, _, value in wire_format.fields(item)}
            name = bytes(attribute[1]) if isinstance(attribute.get(1), memoryview) else b""
            seeded = seeded or name == b"seed"
            if name == b"axis" and isinstance(attribute.get(3, 0), int):
                axis = wire_format.signed(attribute.get(3, 0))
            if isinstance(attribute.get(5), memoryview):
                tensor = attribute[5]
    domain = "" if domain == "ai.onnx" else domain
    output = next(iter(outputs), "")
    constant = (output, tensor) if tensor is not None and kind == "Constant" and not domain else None
    return Node(kind, domain, tuple(inputs), seeded, tuple(outputs), axis), constant


def _entries(view: memoryview) -> dict[str, str]:
    """Read where a tensor's external data lies; none where it has none."""
    entries: dict[str, str] = {}
    for number, _, item in wire_format.fields(view):
        if number == 13 and isinstance(item, memoryview):
            pair = {part: wire_format.text(v) for part, _, v in wire_format.fields(item) if part in (1, 2)}
            entries[pair.get(1, "")] = pair.get(2, "")
    return entries


def _is_prepacked(view: memoryview) -> bool:
    return any(key.startswith("prepacked") for key in _entries(view))


def _int8(view: memoryview, folder: Path | None) -> Weights | None:
    """Give a tensor's largest |value| where it is int8; None where it is something else."""
    kind, name, largest, inside = 0, "", 0, False
    for number, _, item in wire_format.fields(view):
        if number == 2 and isinstance(item, int):
            kind = item
        elif number == 8 and isinstance(item, memoryview):
            name = wire_format.text(item)
    if kind != _INT8:
        return None
    for number, _, item in wire_format.fields(view):
        if number == 9 and isinstance(item, memoryview):
            largest, inside = max(largest, _largest(item)), True
        elif number == 5:  # int32_data: packed, or one by one
            inside = True
            for value in _varints(item):
                largest = max(largest, abs(value - 2**64 if value >= 2**63 else value))
    if inside:
        return Weights(name, largest)
    places = _entries(view)
    if not places or folder is None:
        return Weights(name, None)
    return Weights(name, _largest_outside(folder / places["location"], places))


def _varints(item: int | memoryview) -> Iterator[int]:
    if isinstance(item, int):
        yield item
        return
    at = 0
    while at < len(item):
        value, at = wire_format.varint(item, at)
        yield value


def _largest(view: memoryview) -> int:
    """Give the largest |value|, exact above 64, else 64 at most. Memory: one piece."""
    beyond: set[int] = set()
    for at in range(0, len(view), _CHUNK):
        beyond.update(bytes(view[at : at + _CHUNK]).translate(None, _SMALL))
    return max((min(byte, 256 - byte) for byte in beyond), default=64)


def _largest_outside(path: Path, places: dict[str, str]) -> int | None:
    try:
        with path.open("rb") as stream:
            if not os.fstat(stream.fileno()).st_size:
                return 64
            mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            start = int(places.get("offset") or 0)
            length = places.get("length")
            return _largest(mapped[start : start + int(length) if length else None])
    except (OSError, ValueError):
        return None
