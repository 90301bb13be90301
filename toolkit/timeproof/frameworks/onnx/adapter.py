"""Save ONNX models: the file's bytes as they are, and its external data beside it.

The file is read by our own walker; the `onnx` package is needed only to rewrite where external data lies.
"""

from __future__ import annotations

import importlib
import mmap
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable, NotFound
from timeproof.frameworks import model_files
from timeproof.frameworks.base import (
    AdapterDefaults,
    Array,
    NoRuntime,
    Saved,
    SavedFile,
    SaveOptions,
    answering,
    comes_from,
)
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.foreign_files import Foreign
from timeproof.frameworks.inputs import Inputs
from timeproof.frameworks.onnx import FRAMEWORK, traps
from timeproof.frameworks.onnx import graph as onnx_graph
from timeproof.frameworks.onnx import scores as onnx_scores
from timeproof.frameworks.onnx.copies import add_copy, require_onnx
from timeproof.frameworks.onnx.external_data import external_names, keep_copy
from timeproof.frameworks.onnx.options import OnnxOptions
from timeproof.frameworks.onnx.probe import graph_outputs, onnxfile, wire_format
from timeproof.frameworks.options import options_of


class Onnx(AdapterDefaults):
    name = FRAMEWORK.name

    def recognises(self, model: object) -> bool:
        if isinstance(model, (bytes, bytearray)):
            return True
        if isinstance(model, (str, os.PathLike)):
            return os.fspath(model)[-5:] in {".onnx", b".onnx"}
        return comes_from(model, "onnx", frozenset({"ModelProto"}))

    def input_name(self, model: object) -> str | None:
        """Name the graph's input, where it has just one."""
        names = self.input_names(model)
        return names[0] if len(names) == 1 else None

    def input_names(self, model: Any) -> list[str]:
        """Name the graph's inputs, in its order."""
        if isinstance(model, (str, os.PathLike)):
            return [value.name for value in inspect_file(_path(model)).inputs]
        return [value.name for value in _inspect(_bytes(model), "the model").inputs]

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.onnx`, and `model_<tag>_<k>.data` for external data.

        Raises NotArchivable for a file that isn't ONNX, holds a trap, or refers to data it may not have.
        """
        if isinstance(model, (str, os.PathLike)):
            return self.save_file(_path(model), inputs, folder, tag, options)
        _check_options(options)
        data = _bytes(model)
        contents = _inspect(data, "the model")
        _check_inputs(contents, inputs)
        if contents.external:
            raise NotArchivable(
                "the model's external data lies in files, and only a path says where",
                advice="archive the .onnx file by its path, or load it with its data (onnx.load)",
            )
        inspection = Inspection.at(contents, data, None, options)
        file = f"model_{tag}.onnx"
        with (folder / file).open("xb") as writer:
            writer.write(data)
        return inspection.saved((SavedFile(file, "model", "onnx"),), inputs, options, ())

    def load_file(self, path: Path) -> str:
        return str(path)  # a `Path` would be asked in a process of its own again

    def add_copy(
        self,
        copy: Any,
        inputs: Mapping[str, Array],
        folder: Path,
        tag: str,
        options: SaveOptions,
        saved: Saved,
    ) -> Saved:
        """Copy an ONNX file that another framework's model was converted to, beside that model."""
        require_onnx(self, copy)
        return add_copy(self, copy, self.input_names(copy), inputs, folder, tag, options, saved)

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Run the model here, with this process's onnxruntime; a `Path`, in a process of its own."""
        if isinstance(model, Path):
            original = inputs.original if isinstance(inputs, Inputs) else dict(inputs)
            return model_files.answers(self.name, model, original, saved.options)
        try:
            onnxruntime: Any = importlib.import_module("onnxruntime")
        except ImportError:
            raise NoRuntime(
                "onnxruntime is not installed here, so this process has no answer of its own",
                advice="pip install onnxruntime",
            ) from None
        source = str(_path(model)) if isinstance(model, (str, os.PathLike)) else _bytes(model)
        settings = onnxruntime.SessionOptions()
        level = str(saved.options["graph_optimization"]).upper()
        names = onnxruntime.GraphOptimizationLevel
        settings.graph_optimization_level = (
            names.ORT_DISABLE_ALL if level == "DISABLE" else getattr(names, f"ORT_ENABLE_{level}")
        )
        outputs: dict[str, Array] = {}
        with answering():
            session = onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
            wanted = [item.name for item in session.get_outputs()]
            for name, value in zip(wanted, session.run(wanted, dict(inputs)), strict=True):
                outputs.update({flat: item for flat, item, _ in graph_outputs.flatten(name, value)})
        return outputs

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy an existing `.onnx` file and the files that hold its external data."""
        _check_options(options)
        data = _mapped(path)
        contents = _inspect(data, str(path))
        _check_inputs(contents, inputs)
        renamed = external_names(path, contents, tag)
        inspection = Inspection.at(contents, data, path.parent, options)
        files, notes = keep_copy(path, renamed, folder, tag)
        return inspection.saved(files, inputs, options, notes)


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file that holds no trap, or only such as are to be kept."""

    facts: dict[str, Json]
    notes: tuple[str, ...]
    kept: tuple[str, ...]
    scores: dict[str, bool]  # output → whether its last axis holds class scores, where the graph says so

    @classmethod
    def at(
        cls, contents: onnxfile.OnnxFile, data: bytes | memoryview, folder: Path | None, options: SaveOptions
    ) -> Inspection:
        """Look for traps. Raises NotArchivable."""
        graph = onnx_graph.read(data, folder)
        traps.check_processor(contents.domains, graph)
        notes = traps.remarks(graph)
        marks = traps.check_int8(graph, options, notes)
        scores = onnx_scores.scores(graph, contents)
        return cls({**facts(contents), **traps.facts(graph)}, tuple(notes), marks, scores)

    def saved(
        self,
        files: tuple[SavedFile, ...],
        inputs: Mapping[str, Array],
        options: SaveOptions,
        notes: tuple[str, ...],
    ) -> Saved:
        """Say what was written of the file, the model's own file first."""
        package = sys.modules.get("onnx")
        return Saved(
            framework=FRAMEWORK.name,
            framework_version=None if package is None else str(package.__version__),
            files=files,
            model=files[0].path,
            class_module=None,
            class_name=None,
            init_args={},
            options={"graph_optimization": options.framework.graph_optimization, "facts": self.facts},
            copies=(),
            source_files=(),
            notes=notes + self.notes,
            input_names=tuple(inputs),
            kept=self.kept,
            scores=self.scores,
        )


def facts(file: onnxfile.OnnxFile) -> dict[str, Json]:
    """Give what the file says of itself: opsets, IR version, inputs, outputs, whether the batch is free."""
    batch = [value.dims[0] if value.dims else None for value in file.inputs if value.dims != ()]
    return {
        "opset": file.opsets.get(""),
        "opsets": dict(sorted(file.opsets.items())),
        "ir_version": file.ir_version,
        "producer": file.producer,
        "inputs": [_described(value) for value in file.inputs],
        "outputs": [_described(value) for value in file.outputs],
        "dynamic_batch": bool(batch) and all(not isinstance(dim, int) for dim in batch),
    }


def _described(value: onnxfile.Value) -> Json:
    return {"name": value.name, "dims": None if value.dims is None else list(value.dims)}


def inspect_file(path: Path) -> onnxfile.OnnxFile:
    """Walk the file without reading tensors into memory. Raises NotFound and NotArchivable."""
    return _inspect(_mapped(path), str(path))


def sniff(file: ModelFile) -> bool | Foreign:
    """Say whether the bytes are those of a ModelProto with a graph: its first field is the IR's version."""
    if len(file.head) < 4 or file.head[0] != 0x08 or not 1 <= file.head[1] <= 32:
        return False
    try:
        model = inspect_file(file.path)
    except NotArchivable:
        return False
    return bool(model.inputs or model.outputs)


def _mapped(path: Path) -> memoryview:
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise NotArchivable(f"{path} is empty", advice="give the .onnx file as it was exported")
        # Not closed by hand: an error on its way up still holds pieces of it.
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _inspect(data: bytes | memoryview, name: str) -> onnxfile.OnnxFile:
    try:
        return onnxfile.inspect(data)
    except wire_format.BadOnnx as error:
        raise NotArchivable(f"{name}: {error}", advice="give an .onnx file as it was exported") from None


def _path(model: Any) -> Path:
    return Path(os.fsdecode(model))


def _bytes(model: Any) -> bytes:
    if isinstance(model, (bytes, bytearray)):
        return bytes(model)
    try:
        return bytes(model.SerializeToString())
    except ValueError as error:  # protobuf messages end at 2 GB
        raise NotArchivable(
            f"the model can't be written as one file: {error}",
            advice="save it with its data beside it (onnx.save_model), and archive that path",
        ) from None


def _check_options(options: SaveOptions) -> None:
    form = options_of(OnnxOptions, options.framework).format
    if form not in {None, "onnx"}:
        raise BadRequest(f"ONNX models are not saved as {form!r}", advice="leave the format out")


def _check_inputs(file: onnxfile.OnnxFile, inputs: Mapping[str, Array]) -> None:
    wanted = [value.name for value in file.inputs]
    if set(wanted) != set(inputs):
        raise NotArchivable(
            f"the graph's inputs are {', '.join(wanted) or 'none'}, not {', '.join(inputs)}",
            advice="give a mapping from the graph's input names to arrays",
        )
