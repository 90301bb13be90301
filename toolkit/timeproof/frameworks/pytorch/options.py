"""What a user says of a PyTorch model."""

from __future__ import annotations

from collections.abc import Mapping

from timeproof.frameworks.options import FrameworkOptions


class PyTorchOptions(FrameworkOptions):
    """Options of a PyTorch model.

    Args:
        init_args: what the class was called with; or the model's own `init_args` attribute.
        optimizer: stored beside the state: an optimizer, or its `state_dict()`.
        epoch: stored beside the state.
        onnx: whether the model also gets an ONNX copy.
        safetensors: whether its weights also get written as .safetensors.
        model_class: for a .safetensors file: the class of its weights, `module:Class`, which is not imported.
    """

    init_args: Mapping[str, object] | None = None
    optimizer: object | None = None
    epoch: int | None = None
    onnx: bool = True
    safetensors: bool = True
    model_class: str | None = None
