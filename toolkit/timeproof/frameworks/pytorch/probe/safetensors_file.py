"""Read and write .safetensors files: a length, a header of JSON, and the tensors' bytes.

The standard library alone, until tensors are wanted. The header is believed only where it describes the rest
of the file without a hole, an overlap or anything left over.
"""

import importlib
import json
import os
import struct
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple

SUFFIX = ".safetensors"
_HEADER = 100000000  # bytes; the format's own bound
_DIMS = 64
_ALIGNED = 8  # bytes
# The format's types, in the order in which tensors are laid (the widest first), with torch's names and bytes.
TYPES = (
    ("U64", "uint64", 8),
    ("I64", "int64", 8),
    ("F64", "float64", 8),
    ("C64", "complex64", 8),
    ("F32", "float32", 4),
    ("U32", "uint32", 4),
    ("I32", "int32", 4),
    ("BF16", "bfloat16", 2),
    ("F16", "float16", 2),
    ("U16", "uint16", 2),
    ("I16", "int16", 2),
    ("F8_E8M0", "float8_e8m0fnu", 1),
    ("F8_E4M3", "float8_e4m3fn", 1),
    ("F8_E5M2", "float8_e5m2", 1),
    ("I8", "int8", 1),
    ("U8", "uint8", 1),
    ("BOOL", "bool", 1),
)
_BYTES = {name: size for name, _, size in TYPES}
_TORCH = {name: torch for name, torch, _ in TYPES}
FORMAT = {torch: name for name, torch, _ in TYPES}


class BadSafetensors(ValueError):
    """The file is not one of the format; the text says why."""


class Entry(NamedTuple):
    """One tensor: its place is counted from the end of the header, in bytes."""

    name: str
    dtype: str  # the format's name
    shape: Tuple[int, ...]
    start: int
    end: int


class Header(NamedTuple):
    """What a file holds: its tensors in the order in which they lie, and whatever text it carries."""

    entries: Tuple[Entry, ...]
    metadata: Dict[str, str]
    offset: int  # of the first tensor's bytes, from the beginning of the file


def read_header(path: str) -> Header:
    """Read and check the header. Raises BadSafetensors, and OSError."""
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        first = stream.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 2 <= length <= min(_HEADER, size - 8):
            raise BadSafetensors("its header has {} bytes, the file {}".format(length, size))
        text = stream.read(length)
    if text[:1] != b"{":
        raise BadSafetensors("its header is no JSON object")
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_constant)
    except BadSafetensors:
        raise
    except (ValueError, RecursionError) as error:
        raise BadSafetensors("its header is no JSON: {}".format(str(error)[:200]))
    metadata = document.pop("__metadata__", {})
    plain = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    if not plain:
        raise BadSafetensors("its metadata is not made of strings")
    entries = sorted(
        (_entry(name, value) for name, value in document.items()), key=lambda e: (e.start, e.end)
    )
    end = 0
    for entry in entries:
        if entry.start != end:
            fault = "lie over one another" if entry.start < end else "leave a hole"
            raise BadSafetensors("its tensors {} at {!r}".format(fault, entry.name))
        end = entry.end
    if end != size - 8 - length:
        raise BadSafetensors("its tensors take {} bytes, and {} are there".format(end, size - 8 - length))
    return Header(tuple(entries), metadata, 8 + length)


def _pairs(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadSafetensors("its header names something twice")
    return members


def _constant(name: str) -> Any:
    raise BadSafetensors("its header holds {}".format(name))


def _entry(name: str, value: Any) -> Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise BadSafetensors("the tensor {!r} is not described as the format does".format(name[:200]))
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise BadSafetensors("the tensor {!r} is of the type {!r}, not a known one".format(name[:200], dtype))
    if not _counts(shape) or len(shape) > _DIMS or not _counts(offsets) or len(offsets) != 2:
        raise BadSafetensors("the tensor {!r} has no proper shape or place".format(name[:200]))
    wanted = _BYTES[dtype]
    for length in shape:
        wanted *= length
    if offsets[1] - offsets[0] != wanted:
        raise BadSafetensors(
            "the tensor {!r} takes {} bytes, and its place has {}".format(
                name[:200], wanted, offsets[1] - offsets[0]
            )
        )
    return Entry(name, dtype, tuple(shape), offsets[0], offsets[1])


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def read_tensors(path: str) -> Dict[str, Any]:
    """Read every tensor, those included that the metadata names as the same as another one.

    Raises BadSafetensors.
    """
    torch: Any = importlib.import_module("torch")
    header = read_header(path)
    tensors: Dict[str, Any] = {}
    with open(path, "rb") as stream:
        for entry in header.entries:
            dtype = getattr(torch, _TORCH[entry.dtype], None)
            if dtype is None:
                raise BadSafetensors("this torch has no type for {!r} ({})".format(entry.name, entry.dtype))
            stream.seek(header.offset + entry.start)
            if entry.start == entry.end:
                tensors[entry.name] = torch.empty(entry.shape, dtype=dtype)
                continue
            data = bytearray(stream.read(entry.end - entry.start))
            tensors[entry.name] = torch.frombuffer(data, dtype=dtype).reshape(entry.shape)
    for name, same in header.metadata.items():
        if name not in tensors and same in tensors:
            tensors[name] = tensors[same]
    return tensors


def write(path: str, tensors: Iterable[Tuple[str, Any]], metadata: Dict[str, str]) -> None:
    """Write tensors of torch's, each of a type in `FORMAT`. Equal ones give equal bytes."""
    torch: Any = importlib.import_module("torch")
    order = {torch_name: place for place, (_, torch_name, _) in enumerate(TYPES)}
    listed = sorted(
        ((order[str(tensor.dtype).replace("torch.", "")], name, tensor) for name, tensor in tensors),
        key=lambda item: item[:2],
    )
    header: Dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    start = 0
    for place, name, tensor in listed:
        end = start + tensor.numel() * TYPES[place][2]
        header[name] = {"dtype": TYPES[place][0], "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNED)
    with open(path, "xb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for _, _, tensor in listed:
            stream.write(bytes_of(torch, tensor))


def bytes_of(torch: Any, tensor: Any) -> Any:
    """Give a tensor's elements in C order, as a buffer of bytes."""
    if not tensor.numel():
        return b""
    plain = tensor.detach().cpu()
    for resolve in ("resolve_conj", "resolve_neg"):
        plain = getattr(plain, resolve)()
    return plain.contiguous().reshape(-1).view(torch.uint8).numpy().data
