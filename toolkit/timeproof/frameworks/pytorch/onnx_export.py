"""Export a PyTorch model to ONNX beside its state: an interchange copy, missing where it can't be had."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, Copy, SavedFile, SaveOptions
from timeproof.frameworks.onnx.adapter import Onnx, facts, inspect_file
from timeproof.frameworks.onnx.copies import as_interchange
from timeproof.frameworks.pytorch.call import Argument, arguments, in_order
from timeproof_probe import output_names

_SCRATCH = ".export"


def export(
    model: Any,
    inputs: Mapping[str, Array],
    call: Sequence[Argument],
    folder: Path,
    tag: str,
    options: SaveOptions,
    notes: list[str],
) -> tuple[Copy, list[SavedFile]] | None:
    """Write `model_<tag>.onnx`, with a free batch dimension where the exporter can.

    The tracing exporter is tried first: on small networks it takes 0.2 s against 2.5 s, and its files
    (IR 9) open in runtimes that refuse the newer exporter's.

    Args:
        call: how the model takes the inputs; `model` is in evaluation mode.
        notes: gets a sentence where there is no copy.
    """
    scratch = folder / _SCRATCH
    scratch.mkdir()
    try:
        failures = []
        try:
            attempts = list(_attempts(*_by_position(model, inputs, call)))
        except Exception as error:  # the model itself, or its answer
            attempts = []
            failures.append(_first_line(error))
        for name, attempt in attempts:
            path = scratch / f"{name}.onnx"
            try:
                with _quiet() as doubts:
                    attempt(path)
                saved = Onnx().save_file(path, inputs, folder, tag, SaveOptions())
                graph = inspect_file(folder / saved.model)
            except Exception as error:  # whatever an exporter raises: the copy is missing, that is all
                failures.append(f"{name}: {_first_line(error)}")
                for partial in folder.glob(f"model_{tag}*"):
                    if partial.suffix in {".onnx", ".data"}:
                        partial.unlink()
                continue
            statements = {**facts(graph), "exporter": name.split(" ")[0]}
            files = as_interchange(saved.files)
            if doubts:
                notes.append(f"the ONNX copy holds only the way that these inputs took: {doubts[0]}")
            settings: dict[str, Json] = {"graph_optimization": options.framework.graph_optimization}
            return Copy("onnx", "onnx", saved.model, settings, statements), files
        notes.append(f"there is no ONNX copy: {'; '.join(failures)}")
        return None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _by_position(
    model: Any, inputs: Mapping[str, Array], call: Sequence[Argument]
) -> tuple[Any, list[Any], list[str]]:
    """Give the module, its inputs as tensors and their names, all by position, as exporters want them."""
    torch: Any = importlib.import_module("torch")
    names = list(inputs)
    positional, by_name = arguments(model, inputs, call)
    order = in_order(model, call)
    if order is not None:
        tensors = [by_name.get(call[k].parameter or "", None) for k in order]
        if by_name:
            taken = iter(positional)
            return model, [next(taken) if t is None else t for t in tensors], [names[k] for k in order]
        return model, positional, names

    class ByName(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            first, rest = tensors[: len(positional)], tensors[len(positional) :]
            return self.model(*first, **dict(zip(by_name, rest, strict=True)))

    ordered = [n for n, a in zip(names, call, strict=True) if a.parameter is None]
    ordered += [n for n, a in zip(names, call, strict=True) if a.parameter is not None]
    return ByName().eval(), [*positional, *by_name.values()], ordered


def _first_line(error: Exception) -> str:
    text = error.message if isinstance(error, NotArchivable) else f"{type(error).__name__}: {error}"
    return text.strip().splitlines()[0][:300]


@contextlib.contextmanager
def _descriptors_silenced() -> Iterator[None]:
    """Point the process's stdout and stderr nowhere for a while, for code that is not Python's."""
    copies: dict[int, int] = {}
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):  # a process without one has nothing to silence
                copies[descriptor] = os.dup(descriptor)
                os.dup2(null, descriptor)
        yield
    finally:
        for descriptor, copy in copies.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(null)


@contextlib.contextmanager
def _quiet() -> Iterator[list[str]]:
    """Keep what exporters print, warn and log away from the user; give what tracing could not follow.

    torch's C++ side prints whole graphs, a hundred kilobytes of them, past Python's own streams.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            _descriptors_silenced(),
            warnings.catch_warnings(record=True) as caught,
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("always")
            doubts: list[str] = []
            yield doubts
            doubts += [
                str(item.message).splitlines()[0]
                for item in caught
                if item.category.__name__ == "TracerWarning"
            ]
    finally:
        logging.disable(before)


def _attempts(model: Any, tensors: list[Any], names: list[str]) -> Iterator[tuple[str, Any]]:
    """Give the ways to export, best first: traced with a free batch, captured, traced as it is."""
    torch: Any = importlib.import_module("torch")
    with _quiet(), torch.no_grad():
        answer = model(*tensors)
    outputs = output_names.flatten(answer, torch.is_tensor)
    sizes = {tensor.shape[0] for tensor in tensors if tensor.dim()}
    batch = sizes.pop() if len(sizes) == 1 else None
    axes = {
        name: {0: "batch"}
        for name, tensor in [*zip(names, tensors, strict=True), *outputs]
        if tensor.dim() and tensor.shape[0] == batch
    }
    both: dict[str, Any] = {"input_names": names, "output_names": [name for name, _ in outputs]}
    accepted = inspect.signature(torch.onnx.export).parameters
    traced = {**both, "dynamo": False} if "dynamo" in accepted else both
    clash = set(names) & set(both["output_names"])
    if clash:  # in a graph they would be one value
        raise ValueError(f"an input and an output are both named {clash.pop()!r}")

    def run(**settings: Any) -> Any:
        return lambda path: torch.onnx.export(model, tuple(tensors), str(path), **settings)

    if axes and batch is not None:
        yield "torchscript with a free batch", run(**traced, dynamic_axes=axes)
    if "dynamo" in accepted and "dynamic_shapes" in accepted:
        captured = {**both, "dynamo": True, "external_data": False}
        if batch is not None:
            free = torch.export.Dim("batch")
            shapes = tuple({0: free} if tensor.dim() else None for tensor in tensors)
            yield "dynamo with a free batch", run(**captured, dynamic_shapes=shapes)
        yield "dynamo", run(**captured)
    yield "torchscript", run(**traced)
