"""How the user hands inputs to a PyTorch model: by name, and in types that NumPy lacks."""

from __future__ import annotations

from collections.abc import Mapping

from timeproof.frameworks.base import Array, comes_from
from timeproof.frameworks.inputs import Inputs, input_items

_NARROW = ("bfloat16", "float8_")  # torch's types that NumPy has no name for


def passed_by_name(inputs: Mapping[str, Array]) -> bool:
    """Say whether the user named the inputs, so that the model gets them by these names."""
    return isinstance(inputs, Inputs) and isinstance(inputs.original, Mapping)


def narrow_types(inputs: Mapping[str, Array]) -> dict[str, str]:
    """Name torch's dtype of those inputs that are tensors of a type that NumPy lacks (bfloat16)."""
    if not isinstance(inputs, Inputs):
        return {}
    dtypes = {
        name: str(item.dtype).removeprefix("torch.")
        for name, item in zip(inputs, input_items(inputs.original), strict=False)
        if comes_from(item, "torch", frozenset({"Tensor"}))
    }
    return {name: dtype for name, dtype in dtypes.items() if dtype.startswith(_NARROW)}
