"""What a PyTorch model's class was built with, as JSON values; and whether it can be rebuilt at all."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import comes_from, json_values
from timeproof.frameworks.pytorch.options import PyTorchOptions

WRAP = (
    "write a class of your own whose __init__ builds it from plain values, "
    "load the state into that, and archive an instance of it"
)
_SELF = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
_SHOWN = 200  # characters of suggested init_args


def check_kind(model: Any) -> None:
    """Refuse what no state and no source rebuild. Raises NotArchivable."""
    names = {kind.__name__ for kind in type(model).__mro__ if kind.__module__.startswith("torch.")}
    if "OptimizedModule" in names:
        raise NotArchivable(
            "the model was compiled with torch.compile", advice="archive the module itself: model._orig_mod"
        )
    if names & {"DataParallel", "DistributedDataParallel"}:
        raise NotArchivable(
            f"the model is wrapped in {type(model).__name__}", advice="archive the module in it: model.module"
        )
    if "GraphModule" in names:
        raise NotArchivable(
            "the model is a torch.fx.GraphModule, whose code was made at run time",
            advice=f"archive the nn.Module that it was traced from, or {WRAP}",
        )


def init_args(model: Any, options: PyTorchOptions, notes: list[str], base: type) -> dict[str, Json]:
    """Find what the class was built with, as JSON values that its constructor takes.

    Raises:
        NotArchivable: nothing says it, or JSON can't hold it.
    """
    kind = type(model)
    name = f"{kind.__module__}.{kind.__qualname__}"
    has_init = kind.__init__ is not base.__init__  # type: ignore[misc]  # the classes', not an instance's
    signature = inspect.signature(kind.__init__) if has_init else inspect.Signature([_SELF])
    takes = list(signature.parameters)[1:]
    values = options.init_args if options.init_args is not None else getattr(model, "init_args", None)
    if values is None and takes and (values := _hyper_parameters(model)) is not None:
        notes.append("what the class was built with is what Lightning keeps of it (hparams)")
    if values is None:
        if not takes:
            return {}
        raise _missing(model, name, signature)
    if not isinstance(values, Mapping):
        raise NotArchivable(
            f"init_args is a {type(values).__name__}", advice="give a dictionary of argument names and values"
        )
    try:
        plain = json_values(values, "init_args", notes)
    except NotArchivable as error:
        raise NotArchivable(error.message, advice=f"{WRAP}; plain values are what JSON can hold") from None
    assert isinstance(plain, dict)
    try:
        signature.bind(None, **plain)
    except TypeError as error:
        raise NotArchivable(
            f"init_args don't fit {name}: {error}",
            advice=f"its constructor takes {', '.join(takes) or 'nothing'}",
        ) from None
    return plain


def _hyper_parameters(model: Any) -> Mapping[str, object] | None:
    """What `save_hyperparameters()` of Lightning's kept, where that is all that the class was built with.

    As it was then: `hparams` may have been changed since. What JSON can't hold, or the constructor doesn't
    take, is no answer.
    """
    if not comes_from(model, "pytorch_lightning") and not comes_from(model, "lightning"):
        return None
    arguments = getattr(model, "hparams_initial", None)
    if (
        not isinstance(arguments, Mapping)
        or not arguments
        or getattr(model, "_hparams_name", "kwargs") != "kwargs"
    ):
        return None
    try:
        inspect.signature(type(model).__init__).bind(None, **arguments)
    except TypeError:
        return None
    return dict(arguments) if _plain(dict(arguments)) else None


def _missing(model: Any, name: str, signature: inspect.Signature) -> NotArchivable:
    """Say that the arguments are missing, with the way that fits what they are."""
    takes = list(signature.parameters)[1:]
    if len(takes) == 1 and signature.parameters[takes[0]].kind is inspect.Parameter.VAR_POSITIONAL:
        return NotArchivable(f"{name} is built from positional arguments (*{takes[0]})", advice=WRAP)
    message = f"{name} takes arguments ({', '.join(takes)}), and nothing says which it was built with"
    if isinstance(getattr(model, "hparams", None), Mapping) and model.hparams:
        if _plain(dict(model.hparams)):
            return NotArchivable(message, advice="give init_args=dict(model.hparams)")
        return NotArchivable(f"{message}; model.hparams holds values that JSON can't hold", advice=WRAP)
    remembered = {name: getattr(model, name) for name in takes if hasattr(model, name)}
    if objects := sorted(name for name, value in remembered.items() if not _plain(value)):
        parts = ", ".join(f"{name} is a {type(remembered[name]).__name__}" for name in objects)
        return NotArchivable(f"{message}; {parts}, which JSON can't hold", advice=WRAP)
    spelling = f"{{{', '.join(f'{n!r}: {v!r}' for n, v in remembered.items())}}}"
    hint = ""
    if remembered and len(spelling) <= _SHOWN:
        hint = f" (the model's attributes suggest init_args={spelling}: check it)"
    return NotArchivable(
        message,
        advice="give init_args={...}, or keep them on the model: self.init_args = {...} in __init__" + hint,
    )


def _plain(value: object) -> bool:
    try:
        json_values(value, "a value", [])
    except NotArchivable:
        return False
    return True
