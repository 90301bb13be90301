"""Tensors in a file of torch.save's, read without torch and without unpickling anything.

The pickle's opcodes are followed by hand: tensors, tuples, lists, dictionaries and plain values; whatever
else one names is refused. Every tensor must lie wholly inside its storage.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from timeproof.frameworks.base import Array
from timeproof.frameworks.imports import BadData

_PICKLE = 4 << 20  # bytes of the pickle alone; the tensors lie beside it
_ITEMS = 100_000  # opcodes
_DIMS = 64
# torch's storages, by the dtype of their elements; bfloat16 is the upper half of a float32.
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
}
_TENSOR = ("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = ("torch._utils", "_rebuild_parameter")
_ORDERED = ("collections", "OrderedDict")


@dataclass(frozen=True, slots=True)
class _Name:
    """A class or function that the pickle names. It is never looked up."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    kind: str
    key: str
    count: int


@dataclass(slots=True)
class _Machine:
    """What unpickling keeps: the stack, the marks in it, the memo."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack) or (self.marks and len(self.stack) - count < self.marks[-1]):
            raise BadData("its pickle takes more than there is")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items


def read_tensors(data: bytes) -> Any:
    """Read what torch.save wrote: containers and plain values as they are, tensors as arrays.

    Raises BadData.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            members = {info.filename.partition("/")[2]: info for info in packed.infolist()}
            if any(i.compress_type != zipfile.ZIP_STORED for i in members.values()):
                raise BadData("it is compressed, which torch.save does not do")
            if "data.pkl" not in members or members["data.pkl"].file_size > _PICKLE:
                raise BadData("it holds no pickle, or one that is too large")
            if packed.read(members["byteorder"]) != b"little" if "byteorder" in members else False:
                raise BadData("its numbers are big-endian")
            storages = {n[5:]: packed.read(i) for n, i in members.items() if n.startswith("data/")}
            return _follow(packed.read(members["data.pkl"]), storages)
    except BadData:
        raise
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadData(f"it can't be read: {error}") from None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise BadData("its pickle is not one of torch.save's") from None


def _follow(pickle: bytes, storages: Mapping[str, bytes]) -> Any:
    machine = _Machine()
    for count, (code, value, _) in enumerate(pickletools.genops(pickle)):
        if count > _ITEMS:
            raise BadData("its pickle is too long")
        if code.name == "STOP":
            (outcome,) = machine.stack
            return outcome
        _step(machine, code.name, value, storages)
    raise BadData("its pickle has no end")


def _step(machine: _Machine, code: str, value: Any, storages: Mapping[str, bytes]) -> None:
    """Follow one opcode. Raises BadData for whatever torch.save does not write."""
    stack = machine.stack
    if code in {"PROTO", "FRAME"}:
        return
    if code == "MARK":
        machine.marks.append(len(stack))
    elif code in {"BINPUT", "LONG_BINPUT", "MEMOIZE"}:
        machine.memo[len(machine.memo) if code == "MEMOIZE" else value] = stack[-1]
    elif code in {"BINGET", "LONG_BINGET"}:
        stack.append(machine.memo[value])
    elif code in {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}:
        stack.append(value)
    elif code in {"NONE", "NEWTRUE", "NEWFALSE"}:
        stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[code])
    elif code == "GLOBAL":
        stack.append(_Name(*value.split(" ", 1)))
    elif code in {"EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}:
        stack.append(tuple(machine.pop(0 if code == "EMPTY_TUPLE" else int(code[-1]))))
    elif code == "TUPLE":
        stack.append(tuple(machine.pop_mark()))
    elif code in {"EMPTY_DICT", "EMPTY_LIST"}:
        stack.append({} if code == "EMPTY_DICT" else [])
    elif code in {"SETITEM", "SETITEMS"}:
        items = machine.pop(2) if code == "SETITEM" else machine.pop_mark()
        stack[-1].update(zip(items[::2], items[1::2], strict=True))
    elif code in {"APPEND", "APPENDS"}:
        items = machine.pop(1) if code == "APPEND" else machine.pop_mark()
        stack[-1].extend(items)
    elif code == "BINPERSID":
        (persistent,) = machine.pop(1)
        stack.append(_storage(persistent))
    elif code == "REDUCE":
        function, arguments = machine.pop(2)
        stack.append(_call(function, arguments, storages))
    else:
        raise BadData(f"its pickle does more than torch.save's ({code})")


def _storage(persistent: Any) -> _Storage:
    word, kind, key, _, count = persistent
    if word != "storage" or not isinstance(kind, _Name) or kind.module not in {"torch", "torch.storage"}:
        raise BadData("it refers to something that is no storage of torch")
    return _Storage(kind.name, str(key), int(count))


def _call(function: Any, arguments: tuple[Any, ...], storages: Mapping[str, bytes]) -> Any:
    name = (function.module, function.name) if isinstance(function, _Name) else ("", str(function))
    if name == _ORDERED and not arguments:
        return {}
    if name == _TENSOR:
        storage, offset, shape, strides = arguments[:4]
        return _tensor(storage, offset, shape, strides, storages)
    if name == _PARAMETER:
        return arguments[0]
    raise BadData(f"it names {'.'.join(name)}, which is no plain tensor")


def _tensor(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    bytes_of: Mapping[str, bytes],
) -> Array:
    dtype = _STORAGES.get(storage.kind)
    if dtype is None:
        raise BadData(f"it holds a tensor of a kind that is not known ({storage.kind})")
    elements = np.frombuffer(bytes_of[storage.key], dtype)
    sizes = [offset, *shape, *strides]
    if len(shape) != len(strides) or len(shape) > _DIMS or any(type(n) is not int or n < 0 for n in sizes):
        raise BadData("a tensor's shape is not one")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    empty = math.prod(shape) == 0
    if storage.count != len(elements) or (not empty and last >= len(elements)):
        raise BadData("a tensor reaches beyond its storage")
    if math.prod(shape) > len(elements) or empty:  # one that is expanded, or holds nothing
        raise BadData("a tensor repeats its elements, or has none")
    width = elements.dtype.itemsize
    view = np.lib.stride_tricks.as_strided(
        elements[offset:], shape, tuple(step * width for step in strides), writeable=False
    )
    plain = np.ascontiguousarray(view).reshape(shape)
    if storage.kind == "BFloat16Storage":
        return (plain.astype("<u4") << 16).view("<f4")
    return plain
