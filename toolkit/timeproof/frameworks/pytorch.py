"""Save PyTorch models: the state, the class's own source, and an ONNX copy; never a pickled module."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks import sources, torch_onnx
from timeproof.frameworks.base import (
    Array,
    Copy,
    Saved,
    SavedFile,
    SaveOptions,
    answering,
    comes_from,
    json_values,
)
from timeproof.frameworks.state import check_state
from timeproof.probe import naming, tensors
from timeproof.strictjson import Json

_WRAP = (
    "write a class of your own whose __init__ builds it from plain values, "
    "load the state into that, and archive an instance of it"
)


class PyTorch:
    name = "pytorch"
    short = "pt"

    def recognises(self, model: object) -> bool:
        return comes_from(model, "torch", frozenset({"Module"}))

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.pth`, `source_<tag>/` and, where the exporter can, `model_<tag>.onnx`.

        Raises:
            NotArchivable: the class can't be rebuilt from its source and `init_args`, or the state holds
                what `weights_only` refuses to load.
        """
        if options.format not in {None, "pth"}:
            raise BadRequest(
                f"PyTorch models are not saved as {options.format!r}", advice="leave the format out"
            )
        torch: Any = importlib.import_module("torch")
        _check_kind(model)
        kind = type(model)
        notes: list[str] = []
        init_args = _init_args(model, options, notes, torch.nn.Module)
        captured = sources.capture(kind)
        state = {
            "model_state": model.state_dict(),
            "epoch": options.epoch,
            "optimizer_state": _optimizer_state(options.optimizer),
            "meta": {
                "torch_version": str(torch.__version__),
                "model_class": f"{kind.__module__}.{kind.__qualname__}",
                "init_args": init_args,
                "timestamp": options.timestamp,
            },
        }
        check_state(state["model_state"], "model_state")
        check_state(state["optimizer_state"], "optimizer_state")
        file = f"model_{tag}.pth"
        torch.save(state, folder / file)
        files = [SavedFile(file, "model", "torch-state")]
        root = f"source_{tag}"
        written = [f"{root}/{path}" for path in sources.write(captured, folder / root)] if captured else []
        files += [SavedFile(path, "source", "python") for path in written]
        notes += sources.doubts(captured)
        quantised = quantised_modules(model)
        if not captured:
            notes.append(f"the class is an installed library's ({kind.__module__}): no source is copied")
        copies: tuple[Copy, ...] = ()
        if options.onnx:
            with _evaluating(model):
                exported = torch_onnx.export(
                    model, _given(model, inputs), inputs, folder, tag, options, notes
                )
            if exported is not None:
                copy, more = exported
                copies = (copy,)
                files += more
        return Saved(
            framework=self.name,
            framework_version=str(torch.__version__),
            files=tuple(files),
            model=file,
            class_module=kind.__module__,
            class_name=kind.__qualname__,
            init_args=init_args,
            options={
                "module": kind.__module__,
                "qualname": kind.__qualname__,
                "init_args": init_args,
                "source": root if captured else None,
                "quantized": quantised,
            },
            copies=copies,
            source_files=tuple(written),
            notes=tuple(notes),
            input_names=tuple(inputs),
        )

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:  # noqa: ARG002
        """Run the model here as it is, on its own device, in evaluation mode, without gradients."""
        torch: Any = importlib.import_module("torch")
        with answering(), _evaluating(model), torch.inference_mode():
            answer = model(*_given(model, inputs))
            return {name: tensors.to_array(item)[0] for name, item in named_outputs(answer)}

    def save_file(
        self,
        path: Path,
        inputs: Mapping[str, Array],  # noqa: ARG002 - every adapter is called alike
        folder: Path,  # noqa: ARG002
        tag: str,  # noqa: ARG002
        options: SaveOptions,  # noqa: ARG002
    ) -> Saved:
        """Refuse: weights alone say nothing of the class that they belong to."""
        raise NotArchivable(
            f"{path} holds weights without their class, or code that runs when it is loaded",
            advice="give a Python function that returns the model and its inputs",
        )


def quantised_modules(model: Any) -> list[Json]:
    """Name the kinds of quantized modules in it: their kernels are FBGEMM's, which differ by CPU."""
    kinds = {type(module) for module in model.modules()}
    names = {kind.__name__ for kind in kinds if ".quantized" in kind.__module__}
    return [*sorted(name for name in names if not name.endswith("PackedParams"))]


def named_outputs(answer: object) -> list[tuple[str, Any]]:
    """Name the tensors of a model's answer as the probe does. Raises NotArchivable."""
    torch: Any = importlib.import_module("torch")
    try:
        return naming.flatten(answer, torch.is_tensor)
    except ValueError as error:
        raise NotArchivable(
            f"the model's answer can't be stored: {error}",
            advice="return a tensor, or tuples, lists and dictionaries of tensors",
        ) from None


def _given(model: Any, inputs: Mapping[str, Array]) -> list[Any]:
    """Give the inputs as tensors on the model's device."""
    torch: Any = importlib.import_module("torch")
    device = next((item.device for item in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
    given = []
    for name, array in inputs.items():
        try:
            tensor = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
        except TypeError as error:
            raise NotArchivable(
                f"the input {name!r} can't become a tensor: {error}", advice="give numbers or booleans"
            ) from None
        given.append(tensor.clone().to(device))
    return given


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Put the model into evaluation mode, and every module of it back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _check_kind(model: Any) -> None:
    names = {kind.__name__ for kind in type(model).__mro__ if kind.__module__.startswith("torch.")}
    if "ScriptModule" in names:
        raise NotArchivable(
            "the model is TorchScript, whose code no state holds",
            advice="archive the nn.Module that it was made from",
        )
    if "OptimizedModule" in names:
        raise NotArchivable(
            "the model was compiled with torch.compile", advice="archive the module itself: model._orig_mod"
        )
    if names & {"DataParallel", "DistributedDataParallel"}:
        raise NotArchivable(
            f"the model is wrapped in {type(model).__name__}", advice="archive the module in it: model.module"
        )


def _init_args(model: Any, options: SaveOptions, notes: list[str], base: type) -> dict[str, Json]:
    """Find what the class was built with, as JSON values that its constructor takes."""
    kind = type(model)
    name = f"{kind.__module__}.{kind.__qualname__}"
    own = kind.__init__ is not base.__init__  # type: ignore[misc]  # the classes', not an instance's
    signature = inspect.signature(kind.__init__) if own else inspect.Signature([_SELF])
    takes = list(signature.parameters)[1:]
    given = options.init_args if options.init_args is not None else getattr(model, "init_args", None)
    if given is None:
        if not takes:
            return {}
        if any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()) and len(takes) == 1:
            raise NotArchivable(f"{name} is built from positional arguments (*{takes[0]})", advice=_WRAP)
        raise NotArchivable(
            f"{name} takes arguments ({', '.join(takes)}), and nothing says which it was built with",
            advice="give init_args={...}, or keep them on the model: self.init_args = {...} in __init__",
        )
    if not isinstance(given, Mapping):
        raise NotArchivable(
            f"init_args is a {type(given).__name__}", advice="give a dictionary of argument names and values"
        )
    values = json_values(given, "init_args", notes)
    assert isinstance(values, dict)
    try:
        signature.bind(None, **values)
    except TypeError as error:
        raise NotArchivable(
            f"init_args don't fit {name}: {error}",
            advice=f"its constructor takes {', '.join(takes) or 'nothing'}",
        ) from None
    return values


_SELF = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)


def _optimizer_state(optimizer: object) -> object:
    if optimizer is None or isinstance(optimizer, dict):
        return optimizer
    if not hasattr(optimizer, "state_dict"):
        raise NotArchivable(
            f"the optimizer is a {type(optimizer).__name__}", advice="give the optimizer, or its state_dict()"
        )
    return optimizer.state_dict()
