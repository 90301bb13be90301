"""Reading the inputs that a user hands in, of whatever make, as plain named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, comes_from

_NARROW = ("bfloat16", "float8_")  # torch's types that NumPy has no name for
_ADVICE = "give a NumPy array, a list or tuple of them, or a mapping from input names to them"


def normalise_inputs(inputs: object, *, default_name: str = "input") -> dict[str, Array]:
    """Give the inputs as named, C-contiguous copies, in their order.

    Args:
        inputs: one array-like; a tuple or list of them (`input_0`, `input_1`, …, unless it is a plain
            list of numbers, which is one array); a mapping from names to them. An array-like is an
            array, a torch tensor (detached, on the CPU), or a pandas DataFrame or Series of one dtype.
        default_name: what a single one is called.

    Raises:
        NotArchivable: nothing is given, or something has no bytes that last (Python objects).
    """
    if inputs is None or isinstance(inputs, (str, bytes, PathLike)):
        raise NotArchivable(f"{inputs!r} is not an input", advice=_ADVICE)
    if isinstance(inputs, Mapping):
        named = [(_name(name), item) for name, item in inputs.items()]
    elif isinstance(inputs, (tuple, list)) and any(_is_array(item) for item in inputs):
        if len(inputs) == 1:
            named = [(default_name, inputs[0])]
        else:
            named = [(f"{default_name}_{k}", item) for k, item in enumerate(inputs)]
    else:
        named = [(default_name, inputs)]
    arrays = {name: _array(item, name) for name, item in named}
    if not arrays:
        raise NotArchivable("there are no inputs", advice=_ADVICE)
    return arrays


def narrow_types(inputs: object, arrays: Mapping[str, Array]) -> dict[str, str]:
    """Name torch's dtype of those inputs that are tensors of a type that NumPy lacks (bfloat16).

    Args:
        inputs: what the user handed in; `arrays` is what `normalise_inputs` made of it.
    """
    if isinstance(inputs, Mapping):
        items = list(inputs.values())
    elif isinstance(inputs, (tuple, list)) and any(_is_array(item) for item in inputs):
        items = list(inputs)
    else:
        items = [inputs]
    found = {}
    for name, item in zip(arrays, items, strict=False):
        if comes_from(item, "torch", frozenset({"Tensor"})):
            kind = str(item.dtype).removeprefix("torch.")
            if kind.startswith(_NARROW):
                found[name] = kind
    return found


def _name(name: object) -> str:
    if not isinstance(name, str) or not name or len(name) > 200 or not name.isprintable():
        raise NotArchivable(
            f"{name!r} can't name an input", advice="name inputs by printable strings of 1 to 200 characters"
        )
    return name


def _is_array(item: object) -> bool:
    return hasattr(item, "__array__") or comes_from(item, "torch") or comes_from(item, "pandas")


def _array(item: Any, name: str) -> Array:
    if item is None:
        raise NotArchivable(f"the input {name!r} is None", advice=_ADVICE)
    if comes_from(item, "torch", frozenset({"Tensor"})):
        from timeproof.probe import tensors

        try:
            found, _ = tensors.to_array(item)  # bfloat16 as float32, which holds all its values
        except TypeError:
            raise NotArchivable(
                f"the input {name!r} is a quantized or sparse tensor", advice="give a dense tensor"
            ) from None
    elif comes_from(item, "pandas"):
        found = _frame(item, name)
    elif hasattr(item, "toarray") and comes_from(item, "scipy"):
        raise NotArchivable(f"the input {name!r} is a sparse matrix", advice="give .toarray() of it")
    else:
        if isinstance(item, np.ma.MaskedArray) and np.ma.is_masked(item):
            raise NotArchivable(f"the input {name!r} has masked values", advice="fill them, with NaN for one")
        try:
            found = np.asarray(item)
        except (ValueError, TypeError) as error:
            raise NotArchivable(f"the input {name!r} is no array: {error}", advice=_ADVICE) from error
    array = np.array(found, order="C", copy=True, subok=False)
    if array.dtype.hasobject:
        raise NotArchivable(
            f"the input {name!r} holds Python objects",
            advice="convert it to numbers, or to fixed-width strings with .astype(str)",
        )
    if array.dtype.kind == "V" and array.dtype.names is None and array.dtype.type is not np.void:
        raise NotArchivable(
            f"the input {name!r} has the dtype {array.dtype.name}, which NumPy alone does not know",
            advice="give float32 inputs, and convert them inside the model",
        )
    if array.size == 0:
        raise NotArchivable(f"the input {name!r} is empty", advice="give at least one row")
    return array


def _frame(item: Any, name: str) -> Array:
    dtypes = sorted({str(dtype) for dtype in item.dtypes}) if hasattr(item, "columns") else [str(item.dtype)]
    if len(dtypes) > 1:
        raise NotArchivable(
            f"the input {name!r} is a table with columns of several types ({', '.join(dtypes)})",
            advice="give .to_numpy(dtype=...) of it, with categories as their codes",
        )
    found = item.to_numpy()
    if found.dtype.hasobject:
        raise NotArchivable(
            f"the input {name!r} is a table of {', '.join(dtypes) or 'no columns'}: no array of numbers",
            advice="give .to_numpy(dtype=...) of it, with categories as their codes",
        )
    array: Array = found
    return array
