"""How a PyTorch model is called: which input goes to which parameter of `forward`, and in which type.

The user's process and the container call the model by the same record, `options["call"]`: one entry for each
input, in their order, `{"input": name, "parameter": name or None, "dtype": torch's name or None}`. An input
without a parameter is passed by its position. Nothing is run here.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array
from timeproof.strictjson import Json

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
