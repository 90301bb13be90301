"""Why a rebuilt PyTorch model answers otherwise than the live one: what the state and the source don't carry.

The live model is laid beside one that is built anew in this process, as the container builds it. Called only
where the two answers differ.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from timeproof.frameworks.base import Saved

_SHOWN = 6  # reasons
_VALUE = 60  # characters of a value
_DEPTH = 3  # levels of lists and dictionaries that are compared
# What torch itself keeps in a module's __dict__; the state, or a reason of its own, carries these.
_OWN = frozenset({"training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"})


def reasons(model: Any, saved: Saved, rebuild: Callable[[], Any]) -> list[str]:
    """Name what probably makes the difference, the likeliest first.

    Args:
        rebuild: builds the class with the recorded `init_args` and loads the state.
    """
    listed = [*_hooks(model), *_replaced(model), *_surroundings()]
    try:
        again = rebuild()
    except Exception as error:  # the user's own constructor
        listed.append(f"it can't be built again here: {type(error).__name__}: {str(error)[:200]}")
    else:
        listed += list(_attributes(model, again))
    if saved.options.get("quantized"):
        listed.append("its quantized modules use other kernels under another numeric profile")
    return listed[:_SHOWN]


def _paths(model: Any) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        yield name or "the model", module


def _hooks(model: Any) -> Iterator[str]:
    for name, module in _paths(model):
        for attribute in ("_forward_hooks", "_forward_pre_hooks"):
            for hook in (getattr(module, attribute, None) or {}).values():
                # torch's own parametrisations are rebuilt by the class.
                if not str(getattr(hook, "__module__", "")).startswith("torch."):
                    title = getattr(hook, "__qualname__", type(hook).__name__)
                    yield f"{name} has a forward hook ({title}), which no state carries"
    module = importlib.import_module("torch.nn.modules.module")
    if getattr(module, "_global_forward_hooks", None) or getattr(module, "_global_forward_pre_hooks", None):
        yield "this process has forward hooks for every module (register_module_forward_hook)"


def _replaced(model: Any) -> Iterator[str]:
    """Methods that were put on an instance, or on its class after the import."""
    for name, module in _paths(model):
        kind = type(module)
        for attribute, value in vars(module).items():
            if callable(value) and callable(getattr(kind, attribute, None)):
                yield f"{name} has a {attribute} of its own, put on the instance: the class has another"
        forward = vars(kind).get("forward")
        called = getattr(forward, "__qualname__", "")
        if called and called != f"{kind.__qualname__}.forward" and not hasattr(forward, "__wrapped__"):
            yield f"{kind.__name__}.forward was replaced after the import, by {called}"


def _surroundings() -> Iterator[str]:
    torch: Any = importlib.import_module("torch")
    for device in ("cpu", "cuda"):
        try:
            on = torch.is_autocast_enabled(device)
        except TypeError:  # an older torch
            on = torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled()
        if on:
            yield f"torch.autocast is on for {device} in this process: archive outside of it"


def _attributes(model: Any, again: Any) -> Iterator[str]:
    modules = dict(again.named_modules())
    mine = dict(model.named_modules())
    for name, module in mine.items():
        where = name or "the model"
        other = modules.get(name)
        if other is None:
            yield f"{where} ({type(module).__name__}) is not part of a model that is built anew"
            continue
        if type(module) is not type(other):
            yield f"{where} is a {type(module).__name__}; built anew it is a {type(other).__name__}"
            continue
        yield from _values(where, module, other)
    for name in modules.keys() - mine.keys():
        yield f"{name} ({type(modules[name]).__name__}) is missing from the live model"


def _values(where: str, module: Any, other: Any) -> Iterator[str]:
    torch: Any = importlib.import_module("torch")
    attributes = vars(other)
    for name, value in vars(module).items():
        if name in _OWN or name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
            continue
        place = f"{where}.{name}" if where != "the model" else name
        rebuilt = attributes.get(name)
        if torch.is_tensor(value):
            if not torch.is_tensor(rebuilt) or not _same(value, rebuilt):
                yield (
                    f"the attribute {place} is a tensor, and neither a parameter nor a buffer, so the state"
                    f" does not carry it: use self.register_buffer({name!r}, …)"
                )
        elif name not in attributes:
            yield f"the attribute {place} is {_spelled(value)}; a model that is built anew has none"
        elif not _equal(value, rebuilt, _DEPTH):
            yield f"the attribute {place} is {_spelled(value)}; built anew it is {_spelled(rebuilt)}"
    for name in vars(module).get("_non_persistent_buffers_set", ()):
        value, rebuilt = getattr(module, name), getattr(other, name, None)
        if rebuilt is None or not _same(value, rebuilt.to(value.dtype)):
            yield f"the buffer {where}.{name} is not persistent, so the state does not carry it"


def _same(first: Any, other: Any) -> bool:
    torch: Any = importlib.import_module("torch")
    if first.shape != other.shape or first.dtype != other.dtype:
        return False
    return bool(torch.equal(first.detach().cpu(), other.detach().cpu()))


def _equal(first: object, other: object, depth: int) -> bool:
    """Whether two attributes are alike, as far as plain values tell; other objects count as alike."""
    if isinstance(first, (bool, int, float, complex, str, bytes, type(None))):
        return type(first) is type(other) and (first == other or first != first)
    if depth and isinstance(first, (list, tuple)):
        if type(first) is not type(other) or not isinstance(other, (list, tuple)) or len(first) != len(other):
            return False
        return all(_equal(a, b, depth - 1) for a, b in zip(first, other, strict=True))
    if depth and isinstance(first, Mapping):
        if not isinstance(other, Mapping) or list(first) != list(other):
            return False
        return all(_equal(first[key], other[key], depth - 1) for key in first)
    torch: Any = importlib.import_module("torch")
    if torch.is_tensor(first):
        return torch.is_tensor(other) and _same(first, other)
    return True


def _spelled(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"
