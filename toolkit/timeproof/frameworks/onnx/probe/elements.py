"""ONNX's element types: how each lies in a file, and which of them NumPy alone does not have.

The numbers are TensorProto.DataType's, the layouts those of onnx.proto (https://github.com/onnx/onnx, IR 13).
Standard library only; NumPy is imported when arrays are made.
"""

from typing import Any, Dict, NamedTuple, Tuple

# The fields of a TensorProto that hold elements.
FLOATS, INT32S, STRINGS, INT64S, RAW, DOUBLES, UINT64S = 4, 5, 6, 7, 9, 10, 11


class Element(NamedTuple):
    """One element type. `bits` below 8 are packed, the first element in the lowest bits of a byte."""

    name: str  # as onnxruntime spells it, in `tensor(name)`
    number: int
    stored: str  # the dtype that holds one, of bits where NumPy has no such type; "U" for strings
    field: int  # where elements lie that are not in raw_data
    bits: int  # of one element in raw_data

    @property
    def foreign(self) -> bool:
        """Whether NumPy alone has no such type: a runtime must be told which it is."""
        return self.name in _FORMATS or 0 < self.bits < 8


# Exponent bits, fraction bits, bias, and what isn't finite: as in IEEE 754, only the largest magnitude,
# only what would be the negative zero, nothing; or no sign and no zero at all, and one NaN.
_FORMATS: Dict[str, Tuple[int, int, int, str]] = {
    "bfloat16": (8, 7, 127, "ieee"),
    "float8e4m3fn": (4, 3, 7, "largest"),
    "float8e4m3fnuz": (4, 3, 8, "zero"),
    "float8e5m2": (5, 2, 15, "ieee"),
    "float8e5m2fnuz": (5, 2, 16, "zero"),
    "float4e2m1": (2, 1, 1, "nothing"),
    "float8e8m0": (8, 0, 127, "unsigned"),
}

ELEMENTS = (
    Element("float", 1, "<f4", FLOATS, 32),
    Element("uint8", 2, "|u1", INT32S, 8),
    Element("int8", 3, "|i1", INT32S, 8),
    Element("uint16", 4, "<u2", INT32S, 16),
    Element("int16", 5, "<i2", INT32S, 16),
    Element("int32", 6, "<i4", INT32S, 32),
    Element("int64", 7, "<i8", INT64S, 64),
    Element("string", 8, "U", STRINGS, 0),
    Element("bool", 9, "|b1", INT32S, 8),
    Element("float16", 10, "<f2", INT32S, 16),
    Element("double", 11, "<f8", DOUBLES, 64),
    Element("uint32", 12, "<u4", UINT64S, 32),
    Element("uint64", 13, "<u8", UINT64S, 64),
    Element("complex64", 14, "<c8", FLOATS, 64),
    Element("complex128", 15, "<c16", DOUBLES, 128),
    Element("bfloat16", 16, "<u2", INT32S, 16),
    Element("float8e4m3fn", 17, "|u1", INT32S, 8),
    Element("float8e4m3fnuz", 18, "|u1", INT32S, 8),
    Element("float8e5m2", 19, "|u1", INT32S, 8),
    Element("float8e5m2fnuz", 20, "|u1", INT32S, 8),
    Element("uint4", 21, "|u1", INT32S, 4),
    Element("int4", 22, "|i1", INT32S, 4),
    Element("float4e2m1", 23, "|u1", INT32S, 4),
    Element("float8e8m0", 24, "|u1", INT32S, 8),
    Element("uint2", 25, "|u1", INT32S, 2),
    Element("int2", 26, "|i1", INT32S, 2),
)
BY_NUMBER = {element.number: element for element in ELEMENTS}
BY_NAME = {element.name: element for element in ELEMENTS}


def unpacked(data: Any, element: Element, count: int) -> Any:
    """Give `count` elements of 2 or 4 bits, each in a byte of its own, signs extended.

    Args:
        data: uint8, flat.
    """
    import numpy

    shifts = numpy.arange(8 // element.bits, dtype=numpy.uint8) * numpy.uint8(element.bits)
    parts = ((data[:, None] >> shifts) & numpy.uint8((1 << element.bits) - 1)).reshape(-1)[:count]
    if element.stored != "|i1":
        return parts
    top = numpy.uint8(1 << (element.bits - 1))
    return ((parts ^ top) - top).view(numpy.int8)


def packed(array: Any, element: Element) -> Any:
    """Undo `unpacked`: the bytes of an array's elements, packed, as flat uint8."""
    import numpy

    each = 8 // element.bits
    flat = array.reshape(-1).view(numpy.uint8) & numpy.uint8((1 << element.bits) - 1)
    whole = numpy.zeros((flat.size + each - 1) // each * each, numpy.uint8)
    whole[: flat.size] = flat
    shifts = numpy.arange(each, dtype=numpy.uint8) * numpy.uint8(element.bits)
    return numpy.bitwise_or.reduce(whole.reshape(-1, each) << shifts, axis=1)


def widened(array: Any, element: Element) -> Any:
    """Give foreign floats' bits as float32, which holds each of their values; other arrays as they are."""
    import numpy

    if element.name == "bfloat16":
        return (array.astype(numpy.uint32) << numpy.uint32(16)).view(numpy.float32)
    return _values(element)[array] if element.name in _FORMATS else array


def _values(element: Element) -> Any:
    """The float32 value of every pattern of up to 8 bits."""
    import numpy

    exponent_bits, fraction_bits, bias, special = _FORMATS[element.name]
    bits = numpy.arange(1 << element.bits, dtype=numpy.int32)
    exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1)
    if special == "unsigned":
        powers = numpy.ldexp(numpy.float32(1), numpy.minimum(exponent, 254) - bias)
        powers[-1] = numpy.nan
        return powers
    fraction = bits & ((1 << fraction_bits) - 1)
    normal = exponent > 0
    mantissa = (fraction + normal * (1 << fraction_bits)).astype(numpy.float32)
    values = numpy.ldexp(mantissa, numpy.maximum(exponent, 1) - bias - fraction_bits)
    values[len(bits) // 2 :] *= -1
    top = exponent == (1 << exponent_bits) - 1
    if special == "ieee":
        values[top & (fraction == 0)] *= numpy.inf
        values[top & (fraction != 0)] = numpy.nan
    elif special == "largest":
        values[top & (fraction == (1 << fraction_bits) - 1)] = numpy.nan
    elif special == "zero":
        values[len(bits) // 2] = numpy.nan
    return values
