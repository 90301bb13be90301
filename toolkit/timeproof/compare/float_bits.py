"""Which elements of two arrays differ in their bytes, for every dtype; and how a float is laid out.

Padding is no value: that of structured dtypes and of 80-bit long doubles is left out. No IO here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Format:
    """A binary floating-point format: bits after the point, and the least normal exponent."""

    name: str
    fraction: int
    least: int

    def ulp(self, value: Any) -> Any:
        """Give the step of this format at `value` (>= 0, finite), in `value`'s own type."""
        _, exponent = np.frexp(value)
        floor = max(int(exponent) - 1, self.least) if value else self.least
        return np.ldexp(type(value)(1), floor - self.fraction)


# IEEE 754-2019, table 3.5; bfloat16 is float32 with the low half cut off.
FLOAT16 = Format("float16", 10, -14)
BFLOAT16 = Format("bfloat16", 7, -126)
FLOAT32 = Format("float32", 23, -126)
FLOAT64 = Format("float64", 52, -1022)
_LONG = np.finfo(np.longdouble)
LONGDOUBLE = Format("longdouble", int(_LONG.nmant), int(_LONG.minexp))
FORMATS = {f.name: f for f in (FLOAT16, BFLOAT16, FLOAT32, FLOAT64, LONGDOUBLE)}

# x87's extended format has 10 bytes of value in 12 or 16 of storage.
_LONG_BYTES = 10 if LONGDOUBLE.fraction == 63 else np.dtype(np.longdouble).itemsize


def format_of(dtype: np.dtype[Any]) -> Format | None:
    """Name the format of a float dtype, or of a complex one's parts; None for all others."""
    if dtype.name == "bfloat16":  # of ml_dtypes, which needn't be installed
        return BFLOAT16
    if dtype.kind not in "fc":
        return None
    width = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    return {2: FLOAT16, 4: FLOAT32, 8: FLOAT64}.get(width, LONGDOUBLE)


def differing(expected: Array, actual: Array) -> Mask:
    """Mark the elements that differ in any bit of their value, signed zeros and NaN payloads too.

    Both arrays have one dtype and one shape, of one dimension at least. Python objects have no
    bytes, and always differ.
    """
    dtype = expected.dtype
    shape = expected.shape
    if dtype.names is not None:
        mask = np.zeros(shape, np.bool_)
        for name in dtype.names:
            part = differing(expected[name], actual[name])
            mask |= part.any(axis=tuple(range(len(shape), part.ndim))) if part.ndim > len(shape) else part
        return mask
    if dtype.kind == "O":
        return np.ones(shape, np.bool_)
    if dtype.kind == "T":  # NumPy 2's variable-width strings: what lies in the array are addresses
        pairs = zip(expected.ravel().tolist(), actual.ravel().tolist(), strict=True)
        same = [e is a or (type(e) is type(a) is str and e == a) for e, a in pairs]
        return ~np.array(same, np.bool_).reshape(shape)
    width = dtype.itemsize
    if width == 0 or expected.size == 0:
        return np.zeros(shape, np.bool_)
    first, second = np.ascontiguousarray(expected), np.ascontiguousarray(actual)
    if width in {1, 2, 4, 8}:
        unequal: Mask = first.view(f"u{width}") != second.view(f"u{width}")
        return unequal
    parts = 2 if dtype.kind == "c" else 1
    layout = (*shape, parts, width // parts)
    each = first.view(np.uint8).reshape(layout) != second.view(np.uint8).reshape(layout)
    if format_of(dtype) is LONGDOUBLE:
        each = each[..., :_LONG_BYTES] if dtype.isnative else each[..., -_LONG_BYTES:]
    result: Mask = each.any(axis=(-2, -1))
    return result


def steps(expected: Array, actual: Array) -> npt.NDArray[np.uint64] | None:
    """Count the representable values from each element to its counterpart.

    Both are native floats of 2, 4 or 8 bytes; None for wider ones. 0.0 and -0.0 are one value.
    """
    width = expected.dtype.itemsize
    if width > 8:
        return None
    top = np.uint64(1 << (8 * width - 1))

    def place(array: Array) -> npt.NDArray[np.uint64]:
        bits = np.ascontiguousarray(array).view(f"u{width}").astype(np.uint64)
        magnitude = bits & (top - np.uint64(1))
        return np.where(bits & top, top - magnitude, top + magnitude)

    first, second = place(expected), place(actual)
    return np.maximum(first, second) - np.minimum(first, second)
