"""How the user hands inputs to a Keras or TensorFlow model, and which of them goes where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, comes_from
from timeproof.frameworks.inputs import Inputs


def to_array(item: Any, name: str) -> Array | None:
    """Turn TensorFlow's tensor or variable into an array; None for any other object. Raises NotArchivable."""
    if not comes_from(item, "tensorflow", frozenset({"Tensor", "Variable", "CompositeTensor"})):
        return None
    if not hasattr(item, "numpy") or hasattr(item, "row_splits") or hasattr(item, "dense_shape"):
        raise NotArchivable(
            f"the input {name!r} is a {type(item).__name__}, which has no one array",
            advice="give a dense tensor, with values",
        )
    array = np.asarray(item.numpy())
    if array.dtype.hasobject:  # strings, which TensorFlow holds as bytes
        try:
            return np.array([text.decode() for text in array.ravel().tolist()]).reshape(array.shape)
        except (AttributeError, UnicodeDecodeError):
            raise NotArchivable(
                f"the input {name!r} holds strings that are not UTF-8", advice="give text, or numbers"
            ) from None
    if array.dtype.kind == "V":  # bfloat16 and its like: each value is a float32
        array = array.astype(np.float32)
    return array


def bind(
    inputs: Mapping[str, Array],
    expected: Sequence[str],
    name: object,
    *,
    mapping: bool,
    keywords: bool = False,
) -> dict[str, Any]:
    """Say which input goes where: the record that `asking` reads.

    Args:
        expected: what the model calls its inputs, in its order; empty where nothing says so.
        mapping: whether it takes a mapping by those names.
        keywords: whether it takes each as an argument by that name.

    Raises NotArchivable where the inputs are others than the model's.
    """
    names = list(inputs)
    named = isinstance(inputs, Inputs) and isinstance(inputs.original, Mapping)
    if not expected:
        kind = "single" if len(names) == 1 else "mapping" if named else "list"
        return _record(kind, [(each, each) for each in names])
    if len(names) != len(expected) or (named and len(names) > 1 and set(names) != set(expected)):
        raise NotArchivable(
            f"{name} takes {', '.join(expected)}; {', '.join(names)} is given",
            advice="give a mapping from the model's own names to arrays (an .npz with these names)",
        )
    if keywords and len(names) > 1 and not named:
        raise NotArchivable(
            f"{name} takes its inputs by name, and they are given without",
            advice=f"give a mapping (an .npz) with the names {', '.join(expected)}",
        )
    pairs = (
        [(each, each) for each in expected]
        if named and len(names) > 1
        else list(zip(names, expected, strict=True))
    )
    kind = "keywords" if keywords else "mapping" if mapping else "single" if len(names) == 1 else "list"
    return _record(kind, pairs)


def _record(kind: str, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {"kind": kind, "inputs": [{"input": name, "as": parameter} for name, parameter in pairs]}
