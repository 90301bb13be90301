"""What a SavedModel folder says of itself: its signatures and its operators, read from its bytes.

Nothing is loaded. The fields' numbers are those of tensorflow/core/protobuf/{saved_model,meta_graph}.proto.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.base.limits import LIMITS
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array
from timeproof.frameworks.onnx.probe import wire_format

GRAPH = "saved_model.pb"
_VARIABLES = re.compile(r"variables/variables\.(index|data-\d{5}-of-\d{5})")
# Written beside it, and read by nothing that answers.
_LEFT_OUT = re.compile(r"fingerprint\.pb|keras_metadata\.pb|debug/.+")
_ENTRIES = 10_000  # files of one folder
_SERVE = "serve"
_SAVE_AGAIN = "save the model again, where it is: model.export(folder), or tf.saved_model.save(model, folder)"

_PYTHON = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"})
_WRITING = frozenset({"WriteFile", "WriteAudioSummary", "SaveV1", "DebugIdentityV3"})
_ELSEWHERE = re.compile(r"TPU.*|TRTEngineOp|.*NeuronOp|Rpc.*|XlaLaunch.*|Nccl.*|Collective.*")

# DataType of tensorflow/core/framework/types.proto, as NumPy spells it; "" where NumPy has no name for it.
DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a signature: NumPy's name of its type ("" for none), and its sizes.

    A size is None where it is free; `shape` is None where the number of sizes is.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A graph whose bytes are as they should be."""

    signatures: dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]]  # inputs, outputs
    operators: frozenset[str]
    version: str  # of the TensorFlow that wrote it


def inspect(folder: Path) -> SavedModel:
    """Read a folder's graph. Raises NotArchivable, in words."""
    path = folder / GRAPH
    if path.is_symlink() or not path.is_file():
        raise _damaged(folder, f"it holds no {GRAPH}")
    size = path.stat().st_size
    if not 0 < size <= LIMITS.import_bytes:
        raise _damaged(folder, f"its {GRAPH} is {size} bytes long, at most {LIMITS.import_bytes}")
    with path.open("rb") as stream:
        data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    return read(data, folder)


def read(data: memoryview, name: object) -> SavedModel:
    """Read the bytes of a graph; messages call it `name`. Raises NotArchivable, in words."""
    try:
        return _read(data, name)
    except wire_format.BadOnnx as error:
        raise _damaged(name, f"its {GRAPH} is cut off or none: {_reworded(error)}") from None


def check_operators(model: SavedModel, name: object) -> None:
    """Refuse a graph that calls Python, writes files, or needs another device. Raises NotArchivable."""
    for operator in sorted(model.operators):
        if operator in _PYTHON:
            raise NotArchivable(
                f"{name} calls a Python function of the process that saved it ({operator}): no file holds it",
                advice="write what tf.py_function or tf.numpy_function does in TensorFlow's operators, and"
                " save it again",
            )
        if operator in _WRITING:
            raise NotArchivable(
                f"{name} writes files while it answers ({operator})",
                advice="save it again without that operator",
            )
        if _ELSEWHERE.fullmatch(operator):
            raise NotArchivable(
                f"{name} needs another device or machine ({operator})",
                advice="save it again for a CPU, from the process that trained it",
            )


def signature(model: SavedModel, wanted: str | None, name: object) -> str:
    """Choose the signature that answers. Raises NotArchivable, naming those that there are."""
    listed = [key for key in model.signatures if not key.startswith("__")]
    chosen = wanted or ("serving_default" if "serving_default" in listed or len(listed) != 1 else listed[0])
    if chosen in listed:
        return chosen
    if not listed:
        raise NotArchivable(
            f"{name} has no signature, so nothing says how it is asked",
            advice="save it with one: tf.saved_model.save(model, folder, signatures=…); model.export does so",
        )
    raise NotArchivable(
        f"{name} has no signature {chosen!r}: it has {', '.join(listed)}",
        advice=f"choose one: --signature {listed[0]} (TensorFlowOptions(signature={listed[0]!r}))",
    )


def check_inputs(arrays: Mapping[str, Array], takes: Mapping[str, Tensor], name: object) -> None:
    """Refuse arrays whose types or sizes a signature does not take. Raises NotArchivable."""
    for key, array in arrays.items():
        wanted, kind = takes[key], "string" if array.dtype.kind in "SU" else array.dtype.name
        if wanted.dtype and kind != wanted.dtype:
            raise NotArchivable(
                f"{name} takes {key!r} as {wanted.dtype}, and it is given as {kind}",
                advice=f"convert it: array.astype({wanted.dtype!r})",
            )
        sizes = wanted.shape
        if sizes is not None and (
            len(sizes) != array.ndim
            or any(want not in {None, size} for want, size in zip(sizes, array.shape, strict=True))
        ):
            raise NotArchivable(
                f"{name} takes {key!r} of the shape {list(sizes)}, and it is given as {list(array.shape)}",
                advice="give an array of that shape; None is any size",
            )


def files_of(folder: Path) -> Iterator[tuple[str, bool]]:
    """Give the files of a folder, by path, each with whether it is needed. Raises NotArchivable."""
    number = 0
    for root, folders, names in os.walk(folder):
        folders.sort()
        place = Path(root)
        number += len(folders) + len(names)
        if number > _ENTRIES:
            raise _damaged(folder, f"it holds more than {_ENTRIES} files")
        for name in sorted(folders):
            if (place / name).is_symlink():
                raise _damaged(folder, f"{name} is a link")
        for name in sorted(names):
            path = place / name
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file():
                raise _damaged(folder, f"{relative} is a link, or no plain file")
            is_read = relative == GRAPH or relative.startswith(("assets/", "assets.extra/"))
            if is_read or _VARIABLES.fullmatch(relative):
                yield relative, True
            elif _LEFT_OUT.fullmatch(relative):
                yield relative, False
            else:
                raise _damaged(folder, f"{relative} is no file of a SavedModel; take it out of the folder")


def _read(data: memoryview, folder: object) -> SavedModel:
    graphs = [value for number, _, value in _fields(data) if number == 2]
    if not graphs:
        raise _damaged(folder, f"its {GRAPH} holds no graph")
    tags = [_tags(graph) for graph in graphs]
    serving = [graph for graph, marks in zip(graphs, tags, strict=True) if marks == [_SERVE]]
    if len(serving) != 1:
        listed = "; ".join(", ".join(marks) or "none" for marks in tags)
        raise _damaged(folder, f"its graphs have the tags {listed}, and none has {_SERVE!r} alone")
    operators: set[str] = set()
    signatures: dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}
    version = ""
    for number, _, value in _fields(serving[0]):
        if number == 1:
            version = next((_text(v) for n, _, v in _fields(value) if n == 5), "")
        elif number == 2:
            operators |= set(_operators(value))
        elif number == 5:
            key, entry = _pair(value)
            signatures[key] = (_tensors(entry, 1), _tensors(entry, 2))
    return SavedModel(dict(sorted(signatures.items())), frozenset(operators), version)


def _tags(graph: memoryview) -> list[str]:
    info = next((value for number, _, value in _fields(graph) if number == 1), memoryview(b""))
    return [_text(value) for number, _, value in _fields(info) if number == 4]


def _operators(graph: memoryview) -> Iterator[str]:
    """The kinds of a graph's nodes, those of its functions included."""
    for number, _, value in _fields(graph):
        if number == 1:
            yield from (_text(v) for n, _, v in _fields(value) if n == 2)
        elif number == 2:
            for kind, _, function in _fields(value):
                for part, _, node in _fields(function) if kind == 1 else ():
                    if part == 3:
                        yield from (_text(v) for n, _, v in _fields(node) if n == 2)


def _tensors(signature: memoryview, number: int) -> dict[str, Tensor]:
    pairs = [_pair(value) for kind, _, value in _fields(signature) if kind == number]
    return {key: _tensor(value) for key, value in sorted(pairs, key=lambda pair: pair[0])}


def _tensor(info: memoryview) -> Tensor:
    dtype, shape = "", None
    for number, _, value in _fields(info):
        if number == 2:
            dtype = DTYPES.get(value, "") if isinstance(value, int) else ""
        elif number == 3:
            shape = _shape(value)
    return Tensor(dtype, shape)


def _shape(view: memoryview) -> tuple[int | None, ...] | None:
    sizes: list[int | None] = []
    for number, _, value in _fields(view):
        if number == 3 and value:
            return None
        if number == 2:
            size = next(
                (wire_format.signed(v) for n, _, v in _fields(value) if n == 1 and isinstance(v, int)), 0
            )
            sizes.append(None if size < 0 else size)
    return tuple(sizes)


def _pair(entry: memoryview) -> tuple[str, memoryview]:
    """One entry of a protocol buffer's map."""
    parts = {number: value for number, _, value in _fields(entry)}
    return _text(parts.get(1, memoryview(b""))), parts.get(2, memoryview(b""))


def _fields(view: Any) -> Iterator[tuple[int, int, Any]]:
    if not isinstance(view, memoryview):
        raise wire_format.BadOnnx("a number where a message should be")
    return wire_format.fields(view)


def _text(view: Any) -> str:
    if not isinstance(view, memoryview):
        raise wire_format.BadOnnx("a number where a name should be")
    return wire_format.text(view)


def _reworded(error: wire_format.BadOnnx) -> str:
    return str(error).removeprefix("not an ONNX file: ")


def _damaged(folder: object, why: str) -> NotArchivable:
    return NotArchivable(f"{folder} is no SavedModel that can be archived: {why[:300]}", advice=_SAVE_AGAIN)
