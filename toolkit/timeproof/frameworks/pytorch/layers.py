"""Modules that are built again without a source of their own: torch.nn's layers, and torch.nn.Sequential.

What a layer was built with is read from its attributes; the tree of a Sequential's layers is what
`options["layers"]` holds. That it gives the same module is tried here, before anything is archived.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import json_values
from timeproof.frameworks.pytorch.init_args import WRAP, init_args
from timeproof.frameworks.pytorch.options import PyTorchOptions
from timeproof.frameworks.pytorch.probe import load

_DEPTH = 32  # Sequentials inside one another
# Of no layer's attributes: where and in which type it was made; the state says so.
_SURROUNDINGS = frozenset({"self", "device", "dtype"})
_RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")


@dataclass(frozen=True, slots=True)
class Construction:
    """How a model is built again.

    Args:
        layers: the tree of a Sequential's layers; None where the class is called with `init_args`.
        classes: whose sources are needed.
    """

    init_args: dict[str, Json]
    layers: dict[str, Json] | None
    classes: tuple[type, ...]


def construction_of(model: Any, options: PyTorchOptions, notes: list[str]) -> Construction:
    """Say how the model is built again. Raises NotArchivable."""
    torch: Any = importlib.import_module("torch")
    if type(model) is torch.nn.Sequential and options.init_args is None:
        classes: dict[type, None] = {}
        tree = _layer(model, "the model", options, classes, 0)
        _try(model, lambda: load.build_layers(tree))
        return Construction({}, tree, tuple(classes))
    if options.init_args is None and not hasattr(model, "init_args") and _is_torchs(model):
        arguments = _arguments(model, "the model")
        if arguments is not None and _builds(model, lambda: type(model)(**load.tupled(arguments))):
            return Construction(arguments, None, (type(model),))
    return Construction(init_args(model, options, notes, torch.nn.Module), None, (type(model),))


def _layer(
    module: Any, place: str, options: PyTorchOptions, classes: dict[type, None], depth: int
) -> dict[str, Json]:
    """Describe one layer, and those inside it. Raises NotArchivable, naming its place."""
    torch: Any = importlib.import_module("torch")
    kind = type(module)
    if kind is torch.nn.Sequential and depth < _DEPTH:
        layers: list[Json] = [
            [name, _layer(below, f"{place}.{name}", options, classes, depth + 1)]
            for name, below in module.named_children()
        ]
        return {"layers": layers}
    arguments: dict[str, Json] | None
    if _is_torchs(module):
        arguments = _arguments(module, place)
        if arguments is None:
            raise NotArchivable(
                f"{place} is a {kind.__name__}, whose arguments can't be read from it", advice=WRAP
            )
    else:
        alone = PyTorchOptions()  # the user's init_args are those of the whole model
        try:
            arguments = init_args(module, alone, [], torch.nn.Module)
        except NotArchivable as error:
            raise NotArchivable(f"{place}: {error.message}", advice=WRAP) from None
        classes[kind] = None
    return {"module": kind.__module__, "qualname": kind.__qualname__, "init_args": arguments}


def _is_torchs(module: Any) -> bool:
    """Whether the module is of a class that torch.nn itself defines, under its own name."""
    kind = type(module)
    if not kind.__module__.startswith(("torch.nn.modules.", "torch.nn.quantized.", "torch.ao.nn.")):
        return False
    return getattr(importlib.import_module(kind.__module__), kind.__qualname__, None) is kind


def _arguments(module: Any, place: str) -> dict[str, Json] | None:
    """Read what a layer was built with from its attributes; None where they don't say it."""
    torch: Any = importlib.import_module("torch")
    values: dict[str, object] = {}
    if isinstance(module, torch.nn.RNNBase):
        names = [*_RECURRENT, *(name for name in ("proj_size", "nonlinearity") if hasattr(module, name))]
        if not isinstance(module, torch.nn.LSTM):
            names = [name for name in names if name != "proj_size"]
        values = {name: getattr(module, name) for name in names}
    else:
        for name, parameter in inspect.signature(type(module).__init__).parameters.items():
            if name in _SURROUNDINGS or parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
                continue
            if not hasattr(module, name):
                if parameter.default is parameter.empty:
                    return None
                continue
            value = getattr(module, name)
            # `bias=True` has become a parameter, or None.
            is_state = name in module._parameters or name in module._buffers
            values[name] = value is not None if is_state else value
    try:
        plain = json_values(values, place, [])
    except NotArchivable:
        return None
    assert isinstance(plain, dict)
    return plain


def _builds(model: Any, build: Any) -> bool:
    try:
        _try(model, build)
    except NotArchivable:
        return False
    return True


def _try(model: Any, build: Any) -> None:
    """Build it here as the container will, and lay it beside the live one. Raises NotArchivable."""
    torch: Any = importlib.import_module("torch")
    try:
        with torch.random.fork_rng(devices=[]):
            again = build()
        fits = _shapes(model) == _shapes(again) and _spelled(model) == _spelled(again)
    except Exception as error:  # whatever a constructor raises
        raise NotArchivable(
            f"it can't be built again: {type(error).__name__}: {error}", advice=WRAP
        ) from None
    if not fits:
        raise NotArchivable("built again from its attributes, it is another model", advice=WRAP)


def _shapes(model: Any) -> Mapping[str, object]:
    return {name: getattr(item, "shape", None) for name, item in model.state_dict().items()}


def _spelled(model: Any) -> str:
    """What torch prints of the model; a list of sizes and a tuple of them are one to every layer."""
    return repr(model).replace("[", "(").replace("]", ")")
