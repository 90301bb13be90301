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
    first, second = expected.dtype, actual.dtype
    native = first.newbyteorder("=")
    if native == second.newbyteorder("="):
        return Aligned(expected.astype(native), actual.astype(native))
    if format_of(first) is not None and format_of(second) is not None and _family(first) == _family(second):
        return _floats(expected, actual)
    if first.kind in _WHOLE and second.kind in _WHOLE:
        return _whole(expected, actual)
    if first.kind in _WHOLE or second.kind in _WHOLE:
        return _whole_and_float(expected, actual)
    if first.kind == second.kind and first.kind in "US":
        text = np.result_type(first, second)
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
    values = narrow.astype(dtype)
    return Aligned(values, rounded, note) if narrow is expected else Aligned(rounded, values, note)


def _fraction(dtype: np.dtype[np.generic]) -> int:
    form = format_of(dtype)
    return 0 if form is None else form.fraction


def _whole_and_float(expected: Array, actual: Array) -> Aligned | None:
    whole, other = (expected, actual) if expected.dtype.kind in _WHOLE else (actual, expected)
    if other.dtype.kind != "f":
        return None
    dtype = other.dtype.newbyteorder("=")
    with np.errstate(all="ignore"):
        values = whole.astype(dtype)
        exact = bool((values.astype(np.longdouble) == whole.astype(np.longdouble)).all())
    if not exact:
        return None
    floats = other.astype(dtype)
    if whole is expected and not np.array_equal(values, floats):
        return None  # labels and counts have no scale by which another value could be graded
    return Aligned(values, floats) if whole is expected else Aligned(floats, values)
