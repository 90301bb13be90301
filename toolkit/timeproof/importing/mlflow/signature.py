"""The types that an MLmodel file gives to a model's inputs: named columns, or tensors. No IO here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from timeproof.errors import NotImportable
from timeproof.importing.mlflow.folder import MLMODEL, WHOLE, ModelFolder, parse_json, quoted

# MLflow's types of columns, as NumPy spells them; text and all others are no numbers.
COLUMN_TYPES = {
    "boolean": "?", "integer": "<i4", "long": "<i8", "float": "<f4", "double": "<f8",
}  # fmt: skip
_TENSOR_TYPES = frozenset(
    {
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    }
)
_TEXT = frozenset({"str", "object", "string", "bytes"})


@dataclass(frozen=True, slots=True)
class Column:
    """One input of the signature.

    Args:
        name: empty where it has none.
        dtype: NumPy's; empty for text and what is no number.
        tensor: whether it is a whole tensor, not a column of a table.
    """

    name: str
    dtype: str
    tensor: bool


def input_columns(folder: ModelFolder) -> tuple[Column, ...]:
    """The inputs of the folder's signature; none where it has no signature. Raises NotImportable."""
    text = folder.mapping("signature").get("inputs")
    if text is None:
        return ()
    value = parse_json(text, folder.root, f"{MLMODEL}: signature.inputs") if isinstance(text, str) else text
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise NotImportable(folder.root, [f"{MLMODEL}: signature.inputs is no list of inputs"], advice=WHOLE)
    return tuple(_column(folder, item) for item in value)


def _column(folder: ModelFolder, item: dict[str, Any]) -> Column:
    name, kind = item.get("name"), item.get("type")
    if name is not None and not isinstance(name, str):
        problem = f"{MLMODEL}: signature.inputs: {quoted(name)!r} names an input"
        raise NotImportable(folder.root, [problem], advice=WHOLE)
    if kind != "tensor":
        return Column(name or "", COLUMN_TYPES.get(kind, "") if isinstance(kind, str) else "", tensor=False)
    specification = item.get("tensor-spec")
    dtype = specification.get("dtype") if isinstance(specification, dict) else None
    if dtype in _TEXT:
        return Column(name or "", "", tensor=True)
    if dtype not in _TENSOR_TYPES:
        raise NotImportable(
            folder.root,
            [f"{MLMODEL}: signature.inputs: {quoted(dtype)!r} is no type of a tensor that is read"],
            advice="give the inputs with --inputs",
        )
    return Column(name or "", np.dtype(dtype).str, tensor=True)
