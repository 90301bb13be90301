"""Convert a user's arrays to the dtypes of their model, only where no value is lost. No IO here."""

from __future__ import annotations

import numpy as np

from timeproof.frameworks.imports import BadData
from timeproof.store.reference import Array

_NUMBERS = frozenset("biufc")


def cast_exactly(array: Array, dtype: str) -> Array | None:
    """Return `array` in that dtype; None where a value would change."""
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return array
    if array.dtype.kind not in _NUMBERS or wanted.kind not in _NUMBERS:
        return None
    wide = np.clongdouble if "c" in (array.dtype.kind, wanted.kind) else np.longdouble
    with np.errstate(all="ignore"):
        cast = array.astype(wanted)
        same = np.array_equal(cast.astype(wide), array.astype(wide), equal_nan=True)
    return cast if same else None


def fit_input(name: str, array: Array, dtype: str) -> tuple[Array, tuple[str, ...]]:
    """Return an input in the dtype that the model takes, and a note where the dtype changed.

    Raises BadData where values would be lost: only the author knows which values the answers belong to.
    """
    if array.dtype == np.dtype(dtype):
        return array, ()
    wanted = np.dtype(dtype)
    if (cast := cast_exactly(array, dtype)) is None:
        raise BadData(
            f"{name}: the array is {array.dtype}, the model takes {wanted}, and not all of its values are"
            f" {wanted} numbers; give the array as the model took it: .astype(np.{wanted})"
        )
    return cast, (f"the input {name} is kept as {wanted}, not {array.dtype}: every value is the same",)


def fit_answer(name: str, array: Array, dtype: str) -> tuple[Array, tuple[str, ...]]:
    """Return an answer in the model's dtype; unchanged, with a note, where values would be lost."""
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return array, ()
    if (cast := cast_exactly(array, dtype)) is not None:
        return cast, (f"the answer {name} is kept as {wanted}, not {array.dtype}: every value is the same",)
    return array, (
        f"the answer {name} is {array.dtype}, and the model gives {wanted}, which cannot hold all of its"
        " values: it is graded by value, and its verdict is never identical",
    )
