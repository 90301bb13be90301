"""Importing ONNX models: a file with arrays by its graph's names, or a tree of ONNX's own cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from timeproof.errors import BadRequest, NotImportable
from timeproof.frameworks import array_files
from timeproof.frameworks.base import Array, Saved, SavedFile, SaveOptions
from timeproof.frameworks.fitting import cast_exactly, fit_answer, fit_input
from timeproof.frameworks.imports import Arrays, BadData, KnownAnswers, ModelCase
from timeproof.frameworks.onnx import FRAMEWORK, case_folders
from timeproof.frameworks.onnx import signature as graph
from timeproof.frameworks.onnx.adapter import Inspection
from timeproof.frameworks.onnx.case_folders import CaseFiles, read_file
from timeproof.frameworks.onnx.external_data import external_names, keep_copy
from timeproof.frameworks.onnx.options import OnnxOptions
from timeproof.frameworks.onnx.probe import onnxfile
from timeproof.frameworks.onnx.probe.elements import widened
from timeproof.frameworks.onnx.probe.wire_format import BadOnnx
from timeproof.frameworks.onnx.signature import Graph, Port
from timeproof.frameworks.options import GraphOptimization


class OnnxImporter:
    """How ONNX models are imported."""

    def read_answers(self, source: Path, inputs: Path, expected: Path, rounds: int | None) -> KnownAnswers:
        if rounds is not None:
            raise BadRequest(
                f"--trees {rounds}: {FRAMEWORK.name} models have no boosting rounds",
                advice="leave it out to have the whole model's answer",
            )
        ports = _graph_of(source)
        arrays, taken = _read_ports(inputs, _fed(ports), "inputs", bits=True)
        answers, notes = _read_ports(expected, ports.outputs, "outputs", bits=False)
        options: dict[str, Any] = {}
        if arrays.elements:
            options["feeds"] = [_feed(name, arrays.elements.get(name, "")) for name in arrays.arrays]
        if len(answers.arrays) < len(ports.outputs):
            options["outputs"] = list(answers.arrays)
        return KnownAnswers(arrays, answers, options, notes=taken + notes)

    def read_table(self, source: Path, table: Path) -> dict[str, Array]:
        return _read_ports(table, _fed(_graph_of(source)), "inputs", bits=True)[0].arrays

    def fit_inputs(
        self, source: Path, inputs: Any, columns: Sequence[str]
    ) -> tuple[dict[str, Array], tuple[str, ...]]:
        """Give a model file's inputs by the graph's names and in its dtypes, as MLflow feeds them.

        Args:
            inputs: one array, or arrays by name.
            columns: the names of the array's columns; each is an input where the graph has several.

        Raises NotImportable and BadData.
        """
        ports = _fed(_graph_of(source))
        if not isinstance(inputs, Mapping):
            if len(ports) > 1 and columns:
                inputs = {name: inputs[:, k] for k, name in enumerate(columns)}
            elif len(ports) == 1:
                inputs = {ports[0].name: inputs}
        names = [port.name for port in ports]
        if not isinstance(inputs, Mapping) or sorted(inputs) != sorted(names):
            names_of_inputs = (
                ", ".join(sorted(map(str, inputs))) if isinstance(inputs, Mapping) else "one array"
            )
            raise BadData(f"the graph's inputs are {', '.join(names)}, and it holds {names_of_inputs}")
        fitted: dict[str, Array] = {}
        notes: list[str] = []
        for port in ports:
            fitted[port.name], changes = _as_fed(port, inputs[port.name])
            notes += changes
        return fitted, tuple(notes)

    def save(
        self, source: Path, answers: KnownAnswers, folder: Path, tag: str, level: GraphOptimization
    ) -> Saved:
        return save_model(source, read_file(source.parent, source.name), answers, folder, tag, level)

    def find_cases(self, root: Path) -> Sequence[ModelCase]:
        return [_case(files) for files in case_folders.find(root)]


IMPORTER = OnnxImporter()


def save_model(
    path: Path, data: bytes, answers: KnownAnswers, folder: Path, tag: str, level: GraphOptimization
) -> Saved:
    """Write an ONNX model's bytes, and its external data where it has any. Raises BadData and BadModel."""
    try:
        file = onnxfile.inspect(data)
    except BadOnnx as error:
        raise BadData(f"{path.name}: {error}") from None
    renamed = external_names(path, file, tag)
    # Whoever imports a model compares its answers with the third party's: weights that saturate are no trap
    # that one must be kept from, but they are told.
    options = SaveOptions(OnnxOptions(graph_optimization=level), keep_saturating=True)
    inspection = Inspection.at(file, data, path.parent, options)
    notes: tuple[str, ...] = ()
    if renamed:
        files, notes = keep_copy(path, renamed, folder, tag)
    else:
        files = (SavedFile(f"model_{tag}.onnx", "model", "onnx"),)
        (folder / files[0].path).write_bytes(data)
    saved = inspection.saved(files, answers.inputs.arrays, options, notes)
    return replace(saved, framework_version=None, options={**saved.options, **answers.options})


def _case(files: CaseFiles) -> ModelCase:
    def save(folder: Path, tag: str, level: GraphOptimization) -> tuple[Saved, KnownAnswers]:
        data = read_file(files.root, files.model)
        answers = case_folders.read_answers(files, data)
        return save_model(files.root / files.model, data, answers, folder, tag, level), answers

    return ModelCase(f"{files.case or files.root}/{Path(files.data_set).name}", files.tags, save)


def _graph_of(source: Path) -> Graph:
    try:
        return graph.read(read_file(source.parent, source.name))
    except (BadData, BadOnnx) as error:
        raise NotImportable(source, [str(error)]) from None


def _fed(ports: Graph) -> list[Port]:
    return [port for port in ports.inputs if port.name not in ports.initialised]


def _feed(name: str, element: str) -> dict[str, Any]:
    return {"name": name, "kind": "tensor", "count": 1, **({"element": element} if element else {})}


def _read_ports(
    path: Path, ports: Sequence[Port], kind: str, *, bits: bool
) -> tuple[Arrays, tuple[str, ...]]:
    """Read the arrays of a graph's ports, in the graph's order and dtypes, and say which had another one.

    Of types that NumPy lacks the bits are read.
    """
    first = next(iter(ports), Port("", ""))
    stored = first.element.stored if first.element is not None and first.element.name != "string" else "<f4"
    try:
        contents, _ = array_files.read_with_columns(path, name=first.name, dtype=stored)
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None
    if strange := sorted(set(contents) - {port.name for port in ports}):
        names = ", ".join(port.name for port in ports) or "none"
        raise NotImportable(path, [f"{', '.join(strange)}: the graph's {kind} are {names}"])
    arrays = Arrays()
    notes: list[str] = []
    for port in (port for port in ports if port.name in contents):
        array = contents[port.name]
        if path.suffix.lower() in array_files.TEXT and array.ndim == 1 and port.rank == 2:
            array = array[:, None]
        element = port.element if port.element is not None and port.element.foreign else None
        if element is None:
            array, changes = _fitted(path, port, array, fit_input if bits else fit_answer)
            arrays.add(port.name, array)
            notes += changes
        elif array.dtype.str != element.stored:
            raise NotImportable(
                path, [f"{port.name}: give {element.name} as its bits, in an array of {element.stored}"]
            )
        else:
            arrays.add(port.name, array if bits else widened(array, element), element.name)
    return arrays, tuple(notes)


def _as_fed(port: Port, array: Array) -> tuple[Array, tuple[str, ...]]:
    """An input in the graph's dtype; float64 becomes float32 even where values change, as in MLflow."""
    if port.element is None or port.element.name == "string":
        return array, ()
    wanted = port.element.stored
    if array.dtype.str == "<f8" and wanted == "<f4" and cast_exactly(array, wanted) is None:
        return array.astype(wanted), (f"the input {port.name} is rounded to float32, as MLflow does it",)
    return fit_input(port.name, array, wanted)


def _fitted(
    path: Path, port: Port, array: Array, fit: Callable[[str, Array, str], tuple[Array, tuple[str, ...]]]
) -> tuple[Array, tuple[str, ...]]:
    if port.element is None or port.element.name == "string":
        return array, ()
    try:
        return fit(port.name, array, port.element.stored)
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None
