"""Keras files and SavedModel graphs, written byte by byte: no Keras and no TensorFlow is needed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FLOAT, DOUBLE, STRING = 1, 2, 7  # TensorFlow's DataType


def layer(name: str, kind: str, **config: object) -> dict[str, Any]:
    """One of Keras's own layers, as its configuration spells it."""
    settings = {"name": name, **config}
    return {"module": "keras.layers", "class_name": kind, "config": settings, "registered_name": None}


def sequential(*layers: object) -> dict[str, Any]:
    listed = [layer("rows", "InputLayer", batch_shape=[None, 4]), *layers]
    policy: dict[str, Any] = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
    policy |= {"registered_name": None, "shared_object_id": 140158453847632}
    config = {"name": "model", "dtype": policy, "layers": listed}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": "Sequential"}


def write_keras(path: Path, config: object = None, **members: bytes) -> Path:
    """Write a `.keras` file; `members` are further ones, or other bytes of its own."""
    model = sequential(layer("dense", "Dense", units=2)) if config is None else config
    metadata = {"keras_version": "3.15.1", "date_saved": "2026-12-01@13:33:24"}
    files = {
        "metadata.json": json.dumps(metadata).encode(),
        "config.json": json.dumps(model).encode(),
        "model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(64),
    }
    with zipfile.ZipFile(path, "w") as packed:
        for name, data in {**files, **members}.items():
            packed.writestr(name, data)
    return path


def varint(value: int) -> bytes:
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % 2**64)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(dtype: int, sizes: Sequence[int] | None) -> bytes:
    """A TensorInfo; -1 is a free size, None a free number of sizes."""
    shape = field(3, 1) if sizes is None else b"".join(field(2, field(1, size)) for size in sizes)
    return field(1, "name:0") + field(2, dtype) + field(3, shape)


def graph(
    operators: Sequence[str] = ("MatMul",),
    signatures: Mapping[str, tuple[Mapping[str, bytes], Mapping[str, bytes]]] | None = None,
    *,
    inside: Sequence[str] = ("Identity",),
    tags: Sequence[str] = ("serve",),
) -> bytes:
    """A `saved_model.pb`: `operators` stand in the graph, `inside` in a function of its library."""
    rows, answer = {"rows": tensor(FLOAT, (-1, 4))}, {"output": tensor(FLOAT, (-1, 2))}
    chosen = {"serving_default": (rows, answer)} if signatures is None else signatures
    info = b"".join(field(4, tag) for tag in tags) + field(5, "2.21.0")
    nodes = b"".join(field(1, field(1, f"n{k}") + field(2, kind)) for k, kind in enumerate(operators))
    body = field(1, field(1, "f")) + b"".join(field(3, field(1, "m") + field(2, kind)) for kind in inside)
    meta = field(1, info) + field(2, nodes + field(2, field(1, body)))
    for key, sides in chosen.items():
        entry = b"".join(
            field(side + 1, field(1, name) + field(2, value))
            for side, tensors in enumerate(sides)
            for name, value in tensors.items()
        )
        meta += field(5, field(1, key) + field(2, entry))
    return field(1, 1) + field(2, meta)


def write_saved_model(folder: Path, data: bytes | None = None) -> Path:
    """Write a SavedModel folder with its variables and a fingerprint."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(graph() if data is None else data)
    (folder / "fingerprint.pb").write_bytes(b"\x08\x01")
    (folder / "variables/variables.index").write_bytes(b"index")
    (folder / "variables/variables.data-00000-of-00001").write_bytes(bytes(32))
    return folder
