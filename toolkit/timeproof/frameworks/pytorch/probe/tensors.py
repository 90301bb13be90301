"""How a torch tensor becomes a plain NumPy array, without losing a bit.

The probe and the training process share it. It imports torch only when it is called.
"""

import importlib
from typing import Any, Tuple

from timeproof_probe.arrays import NARROW_FLOATS


def is_narrow(dtype: str) -> bool:
    """Say whether that type of torch's is a float that NumPy has no name for."""
    return dtype.startswith(NARROW_FLOATS)


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
    if kind.startswith(NARROW_FLOATS):
        tensor, made_from = tensor.to(torch.float32), kind
    return tensor.contiguous().numpy(), made_from
