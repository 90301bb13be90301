"""Save exported programs: a live one as torch.export.save writes it, a .pt2 file's bytes as they are."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import (
    AdapterDefaults,
    Array,
    NoRuntime,
    Saved,
    SavedFile,
    SaveOptions,
    answering,
    comes_from,
    copy_bytes,
)
from timeproof.frameworks.imports import BadData
from timeproof.frameworks.inputs import Inputs, normalise_inputs
from timeproof.frameworks.options import options_of
from timeproof.frameworks.pytorch import asking, quantised
from timeproof.frameworks.pytorch import call as pytorch_call
from timeproof.frameworks.pytorch.call import Argument
from timeproof.frameworks.pytorch.passing import named_outputs
from timeproof.frameworks.pytorch.probe import tensors
from timeproof.frameworks.torch_export import FRAMEWORK, program_file, samples
from timeproof.frameworks.torch_export.options import TorchExportOptions
from timeproof.frameworks.torch_export.program_file import Input
from timeproof.store.schema.v1 import ProfileRecord

_NO_SAMPLES = "give the inputs: --inputs X.npy, or X.npz with an array by each input's name"
_PLACES = (
    "the file says where on its author's machine the source lay (stack traces); of a live program these are"
    " left out"
)


class TorchExport(AdapterDefaults):
    name = FRAMEWORK.name

    def recognises(self, model: object) -> bool:
        return comes_from(model, "torch", frozenset({"ExportedProgram", "AOTICompiledModel"}))

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def inputs(self, model: Any, original: object) -> Inputs:
        """Name the inputs as the program does; where none are given, take its own samples.

        Raises NotArchivable.
        """
        if isinstance(model, Path):
            taken = [(item.name, item.by_name) for item in program_file.read_program(model).inputs]
            arrays = _file_samples(model, len(taken)) if original is None else original
        else:
            _check_live(model)
            taken = _taken(model)
            arrays = _live_samples(model) if original is None else original
        names = [name for name, _ in taken]
        if isinstance(arrays, Mapping):
            if set(arrays) != set(names):
                raise NotArchivable(
                    f"the program takes {', '.join(names) or 'nothing'}, not {', '.join(map(str, arrays))}",
                    advice="name each input as the program does, or give the inputs in its order, as a tuple",
                )
            return normalise_inputs({name: arrays[name] for name in names})
        inputs = normalise_inputs(arrays)
        if len(inputs) != len(names):
            raise NotArchivable(
                f"the program takes {len(names)} inputs ({', '.join(names)}), not {len(inputs)}",
                advice="give one array for each, in that order",
            )
        return inputs.renamed(names)

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.pt2`: equal programs give equal bytes, and none says where their source lay."""
        _check_options(options)
        _check_live(model)
        torch: Any = importlib.import_module("torch")
        file = f"model_{tag}.pt2"
        try:
            # Into a stream: by a path, torch names the archive's folder after the file.
            with _without_places(model), (folder / file).open("xb") as stream:
                torch.export.save(model, stream)
        except NotArchivable:
            raise
        except Exception as error:  # whatever torch can't spell: custom objects, operators without a schema
            raise NotArchivable(
                f"torch.export.save can't write the program: {type(error).__name__}: {str(error)[:300]}",
                advice="archive the nn.Module that it was exported from",
            ) from error
        return _saved(folder / file, file, inputs, str(torch.__version__))

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a .pt2 file; only the container loads it. Raises NotArchivable."""
        _check_options(options)
        file = f"model_{tag}.pt2"
        copy_bytes(path, folder / file)
        return _saved(folder / file, file, inputs, None)

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Run a live program here; a file is never loaded in this process."""
        if isinstance(model, Path):
            raise NoRuntime(
                "a .pt2 file is loaded in the container alone",
                advice="hand in the answer that you know (expected=…), or archive the live program",
            )
        torch: Any = importlib.import_module("torch")
        module = model.module()
        call = asking.recorded_call(saved)
        positional, by_name = pytorch_call.arguments(module, inputs, call)
        with answering(), torch.inference_mode():
            answer = module(*positional, **by_name)
            return {name: tensors.to_array(item)[0] for name, item in named_outputs(answer)}

    def check_profile(self, saved: Saved, profile: ProfileRecord, *, keep: bool) -> Saved:
        return quantised.check_profile(saved, profile, keep=keep)


def _check_options(options: SaveOptions) -> None:
    form = options_of(TorchExportOptions, options.framework).format
    if form not in {None, "pt2"}:
        raise BadRequest(f"exported programs are not saved as {form!r}", advice="leave the format out")


def _check_live(model: Any) -> None:
    if comes_from(model, "torch", frozenset({"AOTICompiledModel"})):
        raise NotArchivable(
            "the model was compiled ahead of time (AOTInductor): it is machine code for one kind of CPU",
            advice="archive the program that it was compiled from: torch.export.export(module, args)",
        )


def _taken(program: Any) -> list[tuple[str, bool]]:
    """Name the inputs of a live program, and say which go by name. Raises NotArchivable."""
    positional, keywords = program.call_spec.in_spec.children()
    names = list(program.graph_signature.user_inputs)
    if any(not leaf.is_leaf() for leaf in [*positional.children(), *keywords.children()]) or any(
        not isinstance(name, str) for name in names
    ):
        raise NotArchivable(
            "the program takes more than tensors: plain values, or tuples, lists or dictionaries of tensors",
            advice="export it with tensors alone: model(*tensors, name=tensor)",
        )
    count = len(positional.children())
    by_name = [str(name) for name in keywords.context or ()] if keywords.children() else []
    return [*((name, False) for name in names[:count]), *((name, True) for name in by_name)]


def _live_samples(program: Any) -> Any:
    arguments, by_name = program.example_inputs or ((), {})
    tensors_ = [*arguments, *by_name.values()]
    if not tensors_:
        raise NotArchivable("the program holds no sample inputs", advice=_NO_SAMPLES)
    return tensors_


def _file_samples(path: Path, count: int) -> Sequence[Array]:
    """The inputs that the program was exported with, read from the file without unpickling."""
    data = program_file.read_samples(path)
    try:
        pair = samples.read_tensors(data) if data else None
    except BadData as error:
        raise NotArchivable(f"{path}: its sample inputs can't be read: {error}", advice=_NO_SAMPLES) from None
    if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[1], dict):
        raise NotArchivable(f"{path} holds no sample inputs", advice=_NO_SAMPLES)
    arrays = [*pair[0], *pair[1].values()]
    if len(arrays) != count or not all(isinstance(item, np.ndarray) for item in arrays):
        raise NotArchivable(f"{path}: its sample inputs are not those of its program", advice=_NO_SAMPLES)
    return arrays


def _saved(path: Path, file: str, inputs: Mapping[str, Array], version: str | None) -> Saved:
    """Say what was written, from the file itself. Raises NotArchivable where the inputs don't fit it."""
    program = program_file.read_program(path)
    call = [_argument(item, inputs[item.name]) for item in program.inputs if item.name in inputs]
    if len(call) != len(inputs) or len(call) != len(program.inputs):
        raise NotArchivable(
            f"the program takes {', '.join(item.name for item in program.inputs)}, not {', '.join(inputs)}",
            advice="give one array for each, by its name",
        )
    quantized: list[Json] = [*program.quantized]
    saved = Saved(
        framework=FRAMEWORK.name,
        framework_version=version,
        files=(SavedFile(file, "model", "pt2"),),
        model=file,
        class_module=None,
        class_name=None,
        init_args={},
        options={
            "call": [argument.to_json() for argument in call],
            "libraries": list(program.libraries),
            "quantized": quantized,
            "facts": program.facts(),
        },
        copies=(),
        source_files=(),
        notes=(),
        input_names=tuple(inputs),
    )
    notes = [_PLACES] if program.names_places else []
    if program.libraries:
        notes.append(f"it calls operators of {', '.join(program.libraries)}, which the environment must hold")
    return replace(saved, notes=tuple(notes))


def _argument(item: Input, array: Array) -> Argument:
    """How the program gets one input. Raises NotArchivable where it has another type, or another shape."""
    narrow = item.dtype if tensors.is_narrow(item.dtype) else None
    wanted = "float32" if narrow else item.dtype
    fixed = len(item.dims) == array.ndim and all(
        not isinstance(size, int) or size == actual
        for size, actual in zip(item.dims, array.shape, strict=True)
    )
    if array.dtype.newbyteorder("=") != wanted or not fixed:
        sizes = ", ".join("any" if isinstance(size, str) else str(size) for size in item.dims)
        raise NotArchivable(
            f"the program takes {item.name} as {wanted} [{sizes}], not {array.dtype}"
            f" [{', '.join(map(str, array.shape))}]",
            advice="give it so, or export the program anew with dynamic_shapes for the sizes that vary",
        )
    return Argument(item.name, item.name if item.by_name else None, narrow)


@contextmanager
def _without_places(program: Any) -> Iterator[None]:
    """Take the stack traces off the program's nodes while it is saved: they name paths of this machine."""
    torch: Any = importlib.import_module("torch")
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    traces = [(node, node.meta.pop("stack_trace", None)) for graph in graphs for node in graph.nodes]
    try:
        yield
    finally:
        for node, trace in traces:
            if trace is not None:
                node.meta["stack_trace"] = trace
