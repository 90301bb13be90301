"""Reading ONNX's data files (TensorProto, SequenceProto, OptionalProto) as arrays, within bounds. No IO here.

Written for files that nobody vouches for: what is declared is held against the bytes that are there before
anything is made of it, so that memory stays a small multiple of the file. Knows nothing of graphs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from timeproof.base.limits import LIMITS
from timeproof.frameworks.imports import BadData
from timeproof.frameworks.onnx.probe.elements import (
    BY_NUMBER,
    DOUBLES,
    ELEMENTS,
    FLOATS,
    INT32S,
    INT64S,
    RAW,
    STRINGS,
    UINT64S,
    Element,
    unpacked,
)
from timeproof.frameworks.onnx.probe.wire_format import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    BadOnnx,
    fields,
    signed,
    text,
)
from timeproof.store.reference import Array

_DIMS, _TYPE, _SEGMENT, _NAME, _EXTERNAL, _LOCATION = 1, 2, 3, 8, 13, 14
_HELD = frozenset(e.field for e in ELEMENTS) | {RAW}
# Of each field that counts, how it may lie there: one value, or several packed.
_WIRES = dict.fromkeys((_DIMS, INT32S, INT64S, UINT64S), (VARINT, BYTES)) | {
    _TYPE: (VARINT,),
    _NAME: (BYTES,),
    FLOATS: (FIXED32, BYTES),
    DOUBLES: (FIXED64, BYTES),
    STRINGS: (BYTES,),
    RAW: (BYTES,),
}
_RANK = 32  # dimensions; what every NumPy takes
_FIELDS = 4 * 2**20  # fields of one message, strings included: a writer packs all else
_GROWTH = 256  # bytes of an array of strings for each byte of its file


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its elements as `element.stored`, foreign ones as their bits."""

    name: str
    element: Element
    array: Array


# What a data file holds: None is an optional without a value.
Value: TypeAlias = "Tensor | list[Tensor] | None"


@dataclass(slots=True)
class _Raw:
    """A TensorProto as it lies there."""

    dims: list[int] = field(default_factory=list)
    number: int = 0
    name: str = ""
    data: dict[int, list[memoryview | int]] = field(default_factory=dict)


def tensor(data: bytes | memoryview) -> Tensor:
    """Read a TensorProto. Raises BadData."""
    try:
        raw = _raw(memoryview(data))
    except BadOnnx as error:
        raise BadData(str(error).replace("not an ONNX file", "not a tensor")) from None
    element = BY_NUMBER.get(raw.number)
    if element is None:
        raise BadData(f"an element type of the number {raw.number}")
    count = _count(raw.dims)
    if len(raw.data) > 1:
        raise BadData(f"elements in several fields: {sorted(raw.data)}")
    ((place, parts),) = raw.data.items() or {RAW: []}.items()
    if place == RAW and element.field != STRINGS:
        array = _from_raw(b"".join(parts[-1:]), element, count)  # type: ignore[arg-type]  # of bytes: see _raw
    elif place == element.field == STRINGS or (not parts and element.field == STRINGS):
        array = _strings(parts, count)  # type: ignore[arg-type]  # likewise
    elif place == element.field:
        array = _typed(parts, element, count)
    else:
        raise BadData(f"elements of {element.name} in field {place}")
    return Tensor(raw.name, element, array.reshape(raw.dims))


def _raw(view: memoryview) -> _Raw:
    raw = _Raw()
    for count, (number, wire, item) in enumerate(fields(view)):
        if count > _FIELDS:
            raise BadData(f"more than {_FIELDS} fields")
        if number in _WIRES and wire not in _WIRES[number]:
            raise BadData(f"field {number} of wire type {wire}")
        if number == _DIMS:
            raw.dims += [signed(int(n)) for n in _varints(item)] if wire == BYTES else [signed(item)]
            if len(raw.dims) > _RANK:
                raise BadData(f"more than {_RANK} dimensions")
        elif number == _TYPE:
            raw.number = item
        elif number == _NAME:
            raw.name = text(item)
        elif number == _SEGMENT:
            raise BadData("a segment of a tensor, not a whole one")
        elif number == _EXTERNAL or (number == _LOCATION and item):
            raise BadData("elements in another file, which no data file may have")
        elif number in _HELD:
            raw.data.setdefault(number, []).append(item)
    return raw


def _count(dims: Sequence[int]) -> int:
    for size in dims:
        if size < 0:
            raise BadData(f"a dimension of {size}")
    if math.prod(size or 1 for size in dims) > LIMITS.integer:
        raise BadData(f"the shape {list(dims)}, which no array has")
    return math.prod(dims)


def _need(count: int, wanted: int, things: str) -> None:
    if count != wanted:
        raise BadData(f"{count} {things}, where the shape wants {wanted}")


def _from_raw(data: bytes, element: Element, count: int) -> Array:
    _need(len(data), (count * element.bits + 7) // 8, f"bytes of {element.name}")
    if element.bits < 8:
        small: Array = unpacked(np.frombuffer(data, np.uint8), element, count)
        return small
    if element.name == "bool" and data.strip(b"\0\1"):
        raise BadData("a bool that is neither 0 nor 1")
    return np.frombuffer(data, np.dtype(element.stored))


def _strings(parts: Sequence[memoryview], count: int) -> Array:
    _need(len(parts), count, "strings")
    try:
        texts = [bytes(part).decode("utf-8") for part in parts]
    except UnicodeDecodeError as error:
        raise BadData(f"a string that is not UTF-8: {error.reason}") from None
    if any(item.endswith("\0") for item in texts):
        raise BadData("a string that ends in NUL, which no array of strings can hold")
    longest = max(map(len, texts), default=0)
    if 4 * longest * count > _GROWTH * (sum(map(len, parts)) + 1024):
        raise BadData(f"{count} strings of very unequal length, the longest of {longest} characters")
    return np.array(texts, dtype=f"U{max(longest, 1)}")


def _typed(parts: Sequence[memoryview | int], element: Element, count: int) -> Array:
    if element.field in (FLOATS, DOUBLES):
        data = b"".join(p for p in parts if isinstance(p, memoryview))
        return _from_raw(data, element, count)
    chunks = [np.array([p], np.uint64) if isinstance(p, int) else _varints(p) for p in parts]
    values = np.concatenate(chunks) if chunks else np.zeros(0, np.uint64)
    if element.bits < 8:
        _need(len(values), (count * element.bits + 7) // 8, f"bytes of {element.name}")
        _fits(values, np.dtype(np.uint8), element)
        small: Array = unpacked(values.astype(np.uint8), element, count)
        return small
    _need(len(values), count, f"elements of {element.name}")
    stored = np.dtype(element.stored)
    bits = np.dtype(f"u{stored.itemsize}") if stored.kind in "fb" else stored
    _fits(values, bits, element)
    if element.name == "bool" and (values > 1).any():
        raise BadData("a bool that is neither 0 nor 1")
    return values.astype(bits).view(stored)


def _fits(values: Array, dtype: np.dtype[np.generic], element: Element) -> None:
    """Refuse numbers that `dtype` can't hold; negative ones lie there as 64 bits."""
    read = values.view(np.int64) if dtype.kind == "i" or dtype.itemsize < 8 else values
    limits = np.iinfo(dtype)  # type: ignore[type-var]  # of whole numbers only
    if read.size and not (limits.min <= read.min() and read.max() <= limits.max):
        raise BadData(f"a number that is no {element.name}")


def _varints(view: memoryview) -> Array:
    """Decode packed varints, all at once."""
    data = np.frombuffer(view, np.uint8)
    ends = np.flatnonzero(data < 128)
    if not data.size:
        return np.zeros(0, np.uint64)
    if not ends.size or ends[-1] != data.size - 1:
        raise BadData("a number that is cut off")
    starts = np.concatenate((ends[:1] * 0, ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise BadData("a number that is too long")
    place = (np.arange(data.size) - np.repeat(starts, lengths)).astype(np.uint64)
    values: Array = np.add.reduceat((data & 127).astype(np.uint64) << (place * np.uint64(7)), starts)
    return values


def sequence(data: bytes | memoryview) -> list[Tensor]:
    """Read a SequenceProto of tensors. Raises BadData."""
    tensors: list[Tensor] = []
    for number, wire, item in _fields(data, "sequence"):
        if number == 3 and wire == BYTES:
            tensors.append(tensor(item))
        elif number in (4, 5, 6, 7):
            raise BadData("a sequence of something else than tensors")
        if len(tensors) > 4096:
            raise BadData("a sequence of more than 4096 tensors")
    return tensors


def optional(data: bytes | memoryview) -> Value:
    """Read an OptionalProto of a tensor or of a sequence of tensors; None where it has no value."""
    content: Value = None
    for number, wire, item in _fields(data, "optional"):
        if number == 3 and wire == BYTES:
            content = tensor(item)
        elif number == 5 and wire == BYTES:
            content = sequence(item)
        elif number in (4, 6, 7):
            raise BadData("an optional of something else than a tensor, or a sequence of them")
    return content


def _fields(data: bytes | memoryview, message: str) -> list[tuple[int, int, memoryview]]:
    listed = []
    try:
        for count, field in enumerate(fields(memoryview(data))):
            if count > 8192:
                raise BadData("more than 8192 fields")
            listed.append(field)
    except BadOnnx as error:
        raise BadData(str(error).replace("not an ONNX file", f"not a {message}")) from None
    return listed
