"""What a `.safetensors` file says of its tensors: its header, read strictly. No tensor is read or loaded.

The format: eight bytes (little endian) give the length of a JSON header; the tensors' bytes follow it,
without a gap, to the end of the file (huggingface/safetensors, "Format").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.base import strictjson
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive
from timeproof.frameworks.imports import BadData

_LENGTH = 8  # bytes of the number that a file begins with
_ABOUT = "__metadata__"
# Bits of an element, by the format's own names of the types.
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: its type as the format spells it, its shape, and its place in bytes behind the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """The tensors by name, and what the writer noted beside them (`format`: pt)."""

    tensors: Mapping[str, TensorEntry]
    about: Mapping[str, str]


def read_header(path: Path) -> SafetensorsHeader:
    """Read a file's header, and hold it against the file's size. Raises BadData and OSError."""
    with path.open("rb") as stream:
        begin = stream.read(_LENGTH)
        length = int.from_bytes(begin, "little")
        size = path.stat().st_size
        if len(begin) < _LENGTH or length > size - _LENGTH:
            raise BadData("it is cut short, or is no safetensors file: its header ends behind its end")
        if length > LIMITS.safetensors_header_bytes:
            raise BadData(f"a header of {length} bytes, at most {LIMITS.safetensors_header_bytes}")
        return parse_header(stream.read(length), size - _LENGTH - length)


def parse_header(data: bytes, size: int) -> SafetensorsHeader:
    """Parse a header's JSON.

    Args:
        size: of what follows the header, in bytes.

    Raises:
        BadData: it is no such header, or its tensors are not exactly these bytes.
    """
    try:
        header = strictjson.loads(data, "the header", limit=LIMITS.safetensors_header_bytes)
    except BadArchive as error:
        raise BadData(f"it is no safetensors file: {error.message}") from None
    if not isinstance(header, dict):
        raise BadData("it is no safetensors file: its header is no JSON object")
    about = header.pop(_ABOUT, {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise BadData(f"{_ABOUT} is not an object of strings")
    tensors = {name: _entry(name, value) for name, value in header.items()}
    _check_places(tensors, size)
    return SafetensorsHeader(tensors, about)


def _entry(name: str, value: Any) -> TensorEntry:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise BadData(f"the tensor {name!r} has not just dtype, shape and data_offsets")
    dtype, shape, place = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise BadData(f"the tensor {name!r} is of the type {dtype!r}, which the format does not name")
    if not _are_counts(shape):
        raise BadData(f"the tensor {name!r} has the shape {shape!r}")
    if not _are_counts(place) or len(place) != 2:
        raise BadData(f"the tensor {name!r} lies at {place!r}")
    bits = _BITS[dtype]
    for length in shape:
        bits *= length
    if bits != 8 * (place[1] - place[0]):
        raise BadData(f"the tensor {name!r} has {place[1] - place[0]} bytes, not those of {dtype} {shape}")
    return TensorEntry(dtype, tuple(shape), place[0], place[1])


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_places(tensors: Mapping[str, TensorEntry], size: int) -> None:
    """Raise BadData where the tensors overlap, leave a gap, or are not all of the file."""
    expected = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != expected:
            raise BadData(f"the tensor {name!r} begins at {entry.begin}, not at {expected}")
        expected = entry.end
    if expected != size:
        raise BadData(
            f"its tensors have {expected} bytes, and {size} follow the header: it is cut, or longer"
        )
