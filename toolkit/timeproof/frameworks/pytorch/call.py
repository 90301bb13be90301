"""How a PyTorch model is called: which input goes to which parameter of `forward`, and in which type.

The user's process and the container call the model by the same record, `options["call"]`: one entry for each
input, in their order, `{"input": name, "parameter": name or None, "dtype": torch's name or None}`. An input
without a parameter is passed by its position. Nothing is run here.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array

_SAME = 1e-4  # of the scale: what the numerics call drift
_BY_ORDER = "or give the inputs in forward's order, as a tuple"


@dataclass(frozen=True, slots=True)
class Argument:
    """One input of the model: the parameter that takes it (None: by position), and torch's dtype for it."""

    input: str
    parameter: str | None
    dtype: str | None = None

    def to_json(self) -> Json:
        return {"input": self.input, "parameter": self.parameter, "dtype": self.dtype}


def bind(
    model: Any, names: Sequence[str], *, named: bool, narrow: Mapping[str, str] | None = None
) -> tuple[Argument, ...]:
    """Say how each input reaches `forward`.

    Args:
        names: the inputs, in their order.
        named: whether the user named them: then each goes to the parameter of its name, as in
            `model(**inputs)`; else by position, as in `model(*inputs)`.
        narrow: torch's dtype of those inputs that NumPy can't hold (bfloat16).

    Raises:
        NotArchivable: the names or the number of inputs don't fit `forward`.
    """
    dtypes = narrow or {}
    signature = _signature(model)
    if named:
        _check_names(model, signature, names)
    else:
        _check_number(model, signature, names)
    return tuple(
        Argument(name, name if named and not _only_by_position(signature, name) else None, dtypes.get(name))
        for name in names
    )


def _signature(model: Any) -> inspect.Signature | None:
    """The signature of `forward` without `self`; None where Python can't tell it."""
    try:
        return inspect.signature(model.forward)
    except (TypeError, ValueError):
        return None


def _only_by_position(signature: inspect.Signature | None, name: str) -> bool:
    parameter = signature.parameters.get(name) if signature is not None else None
    return parameter is not None and parameter.kind is parameter.POSITIONAL_ONLY


def _taken(signature: inspect.Signature) -> str:
    return (
        ", ".join(str(p).split(":")[0].split("=")[0].strip() for p in signature.parameters.values())
        or "nothing"
    )


def _check_names(model: Any, signature: inspect.Signature | None, names: Sequence[str]) -> None:
    if signature is None:
        return
    parameters = signature.parameters
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    by_name = {n for n, p in parameters.items() if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}}
    kind = type(model).__name__
    if strange := [n for n in names if n not in by_name and not free]:
        raise NotArchivable(
            f"{kind}.forward has no parameter {', '.join(map(repr, strange))}: it takes {_taken(signature)}",
            advice=f"name each input as forward names its parameter, {_BY_ORDER}",
        )
    first = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_ONLY]
    if [n for n in names if n in first] != first[: sum(n in first for n in names)]:
        raise NotArchivable(
            f"{kind}.forward takes {', '.join(first)} by position only, in that order",
            advice="give the inputs in that order",
        )
    if absent := [n for n in by_name if n not in names and parameters[n].default is inspect.Parameter.empty]:
        raise NotArchivable(
            f"{kind}.forward needs {', '.join(sorted(absent))}, which is not among the inputs"
            f" ({', '.join(names)})",
            advice="give every input that forward has no default for",
        )


def _check_number(model: Any, signature: inspect.Signature | None, names: Sequence[str]) -> None:
    if signature is None:
        return
    try:
        signature.bind(*names)
    except TypeError as error:
        raise NotArchivable(
            f"{type(model).__name__}.forward takes {_taken(signature)}; {len(names)} inputs by position"
            f" don't fit: {error}",
            advice="give the inputs by their names: a mapping from forward's parameters to arrays",
        ) from None


def arguments(
    model: Any, inputs: Mapping[str, Array], call: Sequence[Argument]
) -> tuple[list[Any], dict[str, Any]]:
    """Give the inputs as tensors on the model's device: positional ones, and those by name."""
    torch: Any = importlib.import_module("torch")
    device = next((item.device for item in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
    positional: list[Any] = []
    by_name: dict[str, Any] = {}
    for argument, (name, array) in zip(call, inputs.items(), strict=True):
        try:
            tensor = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
        except TypeError as error:
            raise NotArchivable(
                f"the input {name!r} can't become a tensor: {error}", advice="give numbers or booleans"
            ) from None
        tensor = tensor.clone().to(device)
        if argument.dtype is not None:
            tensor = tensor.to(getattr(torch, argument.dtype))
        if argument.parameter is None:
            positional.append(tensor)
        else:
            by_name[argument.parameter] = tensor
    return positional, by_name


def in_order(model: Any, call: Sequence[Argument]) -> list[int] | None:
    """The places of the inputs in forward's own order, where passing them so is the same call; else None.

    Exporters take inputs by position.
    """
    if all(argument.parameter is None for argument in call):
        return list(range(len(call)))
    signature = _signature(model)
    if signature is None:
        return None
    places = {argument.parameter or argument.input: k for k, argument in enumerate(call)}
    order: list[int] = []
    for name, parameter in signature.parameters.items():
        if len(order) == len(call):
            break
        if parameter.kind not in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
            return None
        if name not in places:
            return None
        order.append(places[name])
    return order if len(order) == len(call) else None


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put the model into evaluation mode, and every module of it back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def require_same_in_training(
    model: Any, ask: Callable[[Any], Mapping[str, Array]], training: Sequence[str]
) -> None:
    """Refuse a model in training mode that answers otherwise than in evaluation mode.

    What is archived is the answer in evaluation mode; the user's own call, now, would give another. Copies
    are asked, all with one seed: training mode changes the model (running averages), and draws numbers.

    Args:
        ask: gives the answer of a module, in the mode that it is in.
        training: the names of the modules that are in training mode.

    Raises:
        NotArchivable: with what to call.
    """
    try:
        evaluated = _seeded(ask, copy.deepcopy(model).eval())
        again = _seeded(ask, copy.deepcopy(model).eval())
        now = _seeded(ask, copy.deepcopy(model))
    except Exception:  # a model that can't be copied, or that answers in one mode alone
        evaluated = again = {}
        now = {"": np.zeros(0)}
    if not _alike(evaluated, again) or _alike(evaluated, now):
        return  # what no seed governs, sealing finds
    names = ", ".join(training[:3]) + (f" and {len(training) - 3} more" if len(training) > 3 else "")
    raise NotArchivable(
        f"the model is in training mode ({names}), and answers otherwise there than in evaluation mode",
        advice="call model.eval() first: what is archived is the answer in evaluation mode",
    )


def _seeded(ask: Callable[[Any], Mapping[str, Array]], module: Any) -> Mapping[str, Array]:
    """Ask with one seed for every generator, and leave these as they were."""
    torch: Any = importlib.import_module("torch")
    pythons, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)
            return ask(module)
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)


def _alike(first: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    return first.keys() == other.keys() and all(_close(first[name], other[name]) for name in first)


def _close(first: Array, other: Array) -> bool:
    if first.shape != other.shape or first.dtype != other.dtype:
        return False
    if first.dtype.kind not in "fc" or not first.size:
        return bool(np.array_equal(first, other))
    scale = float(np.nanmax(np.abs(np.where(np.isfinite(first), first, 0))))
    return bool(np.allclose(first, other, rtol=0, atol=_SAME * scale, equal_nan=True))
