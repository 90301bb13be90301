"""Ask a live PyTorch module, or one of TorchScript's, as the container will ask the archived one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from timeproof.frameworks.base import Array, Saved, answering
from timeproof.frameworks.pytorch import call as pytorch_call
from timeproof.frameworks.pytorch.call import Argument, evaluating
from timeproof.frameworks.pytorch.passing import named_outputs
from timeproof.frameworks.pytorch.probe import tensors


def answers(model: Any, inputs: Mapping[str, Array], call: Sequence[Argument]) -> dict[str, Array]:
    """Run the module here as it is, on its own device, in evaluation mode, without gradients.

    Raises NotArchivable, too, where it is in training mode and answers otherwise in it.
    """
    torch: Any = importlib.import_module("torch")

    def ask(module: Any) -> dict[str, Array]:
        positional, by_name = pytorch_call.arguments(module, inputs, call)
        with answering(), torch.inference_mode():
            answer = module(*positional, **by_name)
            return {name: tensors.to_array(item)[0] for name, item in named_outputs(answer)}

    modes = hasattr(model, "training")  # a frozen TorchScript module is in no mode
    with evaluating(model) if modes else nullcontext():
        answer = ask(model)
    training = (
        [name or type(model).__name__ for name, m in model.named_modules() if m.training] if modes else []
    )
    if training:
        pytorch_call.require_same_in_training(model, ask, training)
    return answer


def recorded_call(saved: Saved) -> tuple[Argument, ...]:
    """How the artifact records the call."""
    listed = saved.options["call"]
    assert isinstance(listed, list)
    return tuple(Argument(**entry) for entry in listed)  # type: ignore[arg-type]  # what `save` wrote
