"""How tensors and other array-likes become plain NumPy arrays, without losing a bit.

Shared by the probe and the training process. Imports NumPy and torch only when it is called.
"""

import importlib
from typing import Any, Tuple

# Floating-point types that NumPy has no name for; each of their values is a float32, exactly.
_NARROW = ("bfloat16", "float8", "float6", "float4")


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
