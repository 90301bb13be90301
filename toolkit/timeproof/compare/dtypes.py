"""Two arrays of different dtypes, as two of one dtype that hold the values to compare. No IO here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timeproof.compare.float_bits import Array, format_of

_WHOLE = frozenset("biu")


@dataclass(frozen=True, slots=True)
class Aligned:
    """Both sides in one dtype. `note` says what the conversion did to the values; empty where nothing."""

    expected: Array
    actual: Array
    note: str = ""


def aligned(expected: Array, actual: Array) -> Aligned | None:
    """Give both arrays in one dtype; None where their values can't be compared.

    Floats, and complex numbers, are compared in the narrower format of the two, to which the wider values
    are rounded. Whole numbers are compared with floats in the float's format, where it holds each of them.
    Whole numbers among themselves, and text, are compared as the wider of the two. Dates, records and
    Python objects of different dtypes are not compared; of different byte orders they are.
    """
    left, right = expected.dtype, actual.dtype
    native = left.newbyteorder("=")
    if native == right.newbyteorder("="):
        return Aligned(expected.astype(native), actual.astype(native))
    if format_of(left) is not None and format_of(right) is not None and _family(left) == _family(right):
        return _floats(expected, actual)
    if left.kind in _WHOLE and right.kind in _WHOLE:
        return _whole(expected, actual)
    if left.kind in _WHOLE or right.kind in _WHOLE:
        return _whole_and_float(expected, actual)
    if left.kind == right.kind and left.kind in "US":
        text = np.result_type(left, right)
        return Aligned(expected.astype(text), actual.astype(text))
    return None


def _family(dtype: np.dtype[np.generic]) -> str:
    return "c" if dtype.kind == "c" else "f"


def _whole(expected: Array, actual: Array) -> Aligned | None:
    dtype = np.result_type(expected.dtype, actual.dtype)
    if dtype.kind in _WHOLE:
        return Aligned(expected.astype(dtype), actual.astype(dtype))
    # A signed and an unsigned 64-bit one: no dtype holds both, but what is not negative fits the latter.
    if any(side.min(initial=0) < 0 for side in (expected, actual)):
        return None
    return Aligned(expected.astype(np.uint64), actual.astype(np.uint64))


def _floats(expected: Array, actual: Array) -> Aligned:
    narrow, wide = sorted((expected, actual), key=lambda side: _fraction(side.dtype))
    dtype = narrow.dtype.newbyteorder("=")
    with np.errstate(all="ignore"):  # values beyond the narrower format's largest
        rounded = wide.astype(dtype)
        exact = np.array_equal(rounded.astype(wide.dtype), wide, equal_nan=True)
    note = "" if exact else f"once rounded to {dtype}"
    held = narrow.astype(dtype)
    return Aligned(held, rounded, note) if narrow is expected else Aligned(rounded, held, note)


def _fraction(dtype: np.dtype[np.generic]) -> int:
    form = format_of(dtype)
    return 0 if form is None else form.fraction


def _whole_and_float(expected: Array, actual: Array) -> Aligned | None:
    whole, other = (expected, actual) if expected.dtype.kind in _WHOLE else (actual, expected)
    if other.dtype.kind != "f":
        return None
    dtype = other.dtype.newbyteorder("=")
    with np.errstate(all="ignore"):
        held = whole.astype(dtype)
        exact = bool((held.astype(np.longdouble) == whole.astype(np.longdouble)).all())
    if not exact:
        return None
    floats = other.astype(dtype)
    if whole is expected and not np.array_equal(held, floats):
        return None  # labels and counts have no scale by which another value could be graded
    return Aligned(held, floats) if whole is expected else Aligned(floats, held)
