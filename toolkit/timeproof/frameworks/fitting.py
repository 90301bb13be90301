"""Arrays that somebody hands over, in the dtypes of their model: only where no value is lost. No IO here."""

from __future__ import annotations

import numpy as np

from timeproof.frameworks.imports import BadData
from timeproof.store.reference import Array

_NUMBERS = frozenset("biufc")


def exact(array: Array, dtype: str) -> Array | None:
    """Give `array` in that dtype; None where a value would be another one."""
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
    """Give an input in the dtype that the model takes, and a note where that is another one.

    Raises BadData where values would be lost: which values the answers belong to, only their author knows.
    """
    if array.dtype == np.dtype(dtype):
        return array, ()
    wanted = np.dtype(dtype)
    if (cast := exact(array, dtype)) is None:
        raise BadData(
            f"{name}: the array is {array.dtype}, the model takes {wanted}, and not all of its values are"
            f" {wanted} numbers; give the array as the model took it: .astype(np.{wanted})"
        )
    return cast, (f"the input {name} is kept as {wanted}, not {array.dtype}: every value is the same",)


def fit_answer(name: str, array: Array, dtype: str) -> tuple[Array, tuple[str, ...]]:
    """Give an answer in the dtype that the model gives; as it is, with a note, where values would be lost."""
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return array, ()
    if (cast := exact(array, dtype)) is not None:
        return cast, (f"the answer {name} is kept as {wanted}, not {array.dtype}: every value is the same",)
    return array, (
        f"the answer {name} is {array.dtype}, and the model gives {wanted}, which does not hold all of its"
        " values: it is graded by value, and never identical",
    )
