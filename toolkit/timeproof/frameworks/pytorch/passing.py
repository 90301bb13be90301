"""What goes into a PyTorch model and comes out: inputs by name, in types that NumPy lacks; named outputs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, comes_from
from timeproof.frameworks.inputs import Inputs, input_items
from timeproof.frameworks.pytorch.probe import tensors
from timeproof_probe import output_names


def passed_by_name(inputs: Mapping[str, Array]) -> bool:
    """Say whether the user named the inputs, so that the model gets them by these names."""
    return isinstance(inputs, Inputs) and isinstance(inputs.original, Mapping)


def to_array(item: Any, name: str) -> Array | None:
    """Turn a tensor into an array, wherever it lies; None for any other object. Raises NotArchivable."""
    if not comes_from(item, "torch", frozenset({"Tensor"})):
        return None
    try:
        array, _ = tensors.to_array(item)  # bfloat16 as float32, which holds all its values
    except TypeError:
        raise NotArchivable(
            f"the input {name!r} is a quantized or sparse tensor", advice="give a dense tensor"
        ) from None
    plain: Array = array
    return plain


def narrow_types(inputs: Mapping[str, Array]) -> dict[str, str]:
    """Name torch's dtype of those inputs that are tensors of a type that NumPy lacks (bfloat16)."""
    if not isinstance(inputs, Inputs):
        return {}
    dtypes = {
        name: str(item.dtype).removeprefix("torch.")
        for name, item in zip(inputs, input_items(inputs.original), strict=False)
        if comes_from(item, "torch", frozenset({"Tensor"}))
    }
    return {name: dtype for name, dtype in dtypes.items() if tensors.is_narrow(dtype)}


def named_outputs(answer: object) -> list[tuple[str, Any]]:
    """Name the tensors of a model's answer as the probe does. Raises NotArchivable."""
    torch: Any = importlib.import_module("torch")
    try:
        return output_names.flatten(answer, torch.is_tensor)
    except ValueError as error:
        raise NotArchivable(
            f"the model's answer can't be stored: {error}",
            advice="return a tensor, or tuples, lists and dictionaries of tensors",
        ) from None
