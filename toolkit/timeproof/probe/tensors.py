"""How tensors and other array-likes become plain NumPy arrays, without losing a bit.

Shared by the probe and the training process. Imports NumPy and torch only when it is called.
"""

import importlib
from typing import Any, List, Tuple

# Floating-point types that NumPy has no name for; each of their values is a float32, exactly.
_NARROW = ("bfloat16", "float8_", "float6_", "float4_")  # with the dash, for float64 begins alike


def to_array(tensor: Any) -> Tuple[Any, str]:
    """Turn a torch tensor into a C-ordered NumPy array, and say which type it was made from, if another.

    bfloat16 and the 8-bit floats become float32, which holds all their values.

    Raises:
        TypeError: quantized and sparse tensors have no one array.
    """
    torch: Any = importlib.import_module("torch")

    tensor = tensor.detach()
    if tensor.is_quantized or tensor.layout != torch.strided:
        raise TypeError("the output is a quantized or sparse tensor: give tensor.dequantize() or .to_dense()")
    tensor = tensor.cpu()
    for resolve in ("resolve_conj", "resolve_neg"):
        if hasattr(tensor, resolve):
            tensor = getattr(tensor, resolve)()
    kind = str(tensor.dtype).replace("torch.", "")
    made_from = ""
    if kind.startswith(_NARROW):
        tensor, made_from = tensor.to(torch.float32), kind
    return tensor.contiguous().numpy(), made_from


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
    elif array.dtype.kind == "V" and array.dtype.names is None and array.dtype.name.startswith(_NARROW):
        array, made_from = array.astype(numpy.float32), array.dtype.name
    return numpy.array(array, order="C", copy=True), made_from


def flatten_onnx(name: str, value: Any) -> List[Tuple[str, Any, str]]:
    """Flatten what onnxruntime gives for one graph output; each with the type it was made from, or "".

    An array stays; a sequence's items are `name[0]`, `name[1]`, …; an optional without a value gives
    nothing; ZipMap's list of maps becomes one array for each key, `name_key`, with a value for each row.

    Raises:
        TypeError: something in it is no array of numbers or strings.
    """
    import numpy

    if value is None:
        return []
    if isinstance(value, dict):
        return [part for key in value for part in flatten_onnx("{}_{}".format(name, key), value[key])]
    if not isinstance(value, list):
        array, made_from = to_plain(value)
        return [(name, array, made_from)]
    if not value or not all(isinstance(row, dict) and list(row) == list(value[0]) for row in value):
        return [part for k, item in enumerate(value) for part in flatten_onnx("{}[{}]".format(name, k), item)]
    found = []
    for key in value[0]:
        # A map's values come as Python floats; in the graph they are float32.
        column = numpy.array([row[key] for row in value])
        narrow = column.astype(numpy.float32) if column.dtype == numpy.float64 else column
        same = numpy.array_equal(narrow.astype(column.dtype), column)
        array, _ = to_plain(narrow if same else column)
        found.append(("{}_{}".format(name, key), array, "map"))
    return found
