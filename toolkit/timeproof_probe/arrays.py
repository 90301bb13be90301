"""How an array-like becomes a plain NumPy array, without losing a bit.

The probe and the training process share it. It imports NumPy only when it is called.
"""

from typing import Any, Tuple

# Floating-point types that NumPy has no name for; each of their values is a float32, exactly.
NARROW_FLOATS = ("bfloat16", "float8_", "float6_", "float4_")  # with the dash, for float64 begins alike


def to_plain(value: Any) -> Tuple[Any, str]:
    """Turn an array-like into a C-ordered array of a type that NumPy alone can name.

    Strings in an object array become fixed-width ones.

    Raises:
        TypeError: any other array of Python objects.
    """
    import numpy

    array = numpy.asarray(value)
    made_from = ""
    if array.dtype.kind == "O":
        if not all(isinstance(item, (str, bytes)) for item in array.ravel().tolist()):
            raise TypeError("the output is an array of Python objects, which has no bytes to compare")
        array, made_from = array.astype(str), "string"
    elif array.dtype.kind == "V" and array.dtype.names is None and array.dtype.name.startswith(NARROW_FLOATS):
        array, made_from = array.astype(numpy.float32), array.dtype.name
    return numpy.array(array, order="C", copy=True), made_from
