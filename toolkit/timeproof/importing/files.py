"""A model file and what lies beside it: which framework's it is, its inputs and answers, its bytes kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.archive import writer
from timeproof.archive.batch import Batch
from timeproof.archive.model import FileEntry
from timeproof.archive.reference import Array
from timeproof.errors import NotImportable
from timeproof.frameworks.base import Adapter, GraphOptimization, SaveOptions
from timeproof.frameworks.choose import adapter_for_file
from timeproof.frameworks.onnx import Looked, external_names, keep_copy
from timeproof.importing import graph, tables
from timeproof.importing.cases import Arrays, Known, read_file
from timeproof.importing.graph import Port
from timeproof.importing.tensors import BadData
from timeproof.probe import onnxfile
from timeproof.probe.elements import widened

# Of each framework of trees: what its answers may be called (the first is what one without a name is), and
# the dtype that it predicts in, for a .csv that can't say.
_TREES = {"xgboost": (("predict", "margin"), "<f4"), "lightgbm": (("predict", "raw_score"), "<f8")}


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written of a model, and what its loader is told."""

    files: tuple[FileEntry, ...]
    model: str
    options: dict[str, Any]
    notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()  # what `Metadata.kept` says


def adapter_of(source: Path) -> Adapter:
    """The adapter of a model file. Raises NotFound and NotArchivable."""
    return adapter_for_file(source)


def known(source: Path, framework: str, inputs: Path, expected: Path) -> Known:
    """Read a model's inputs and its known answers. Raises NotImportable, naming the file."""
    if framework == "onnx":
        return _of_graph(source, inputs, expected)
    names, dtype = _TREES[framework]
    given = _read(inputs, "input", "<f8")
    answers = _read(expected, names[0], dtype)
    if strange := sorted(set(answers) - set(names)):
        raise NotImportable(
            expected,
            [f"{', '.join(strange)}: a {framework} model's answers are called {' and '.join(names)}"],
        )
    ordered = {name: answers[name] for name in names if name in answers}
    return Known(Arrays(given), Arrays(ordered), {"outputs": list(ordered)})


def _read(path: Path, name: str, dtype: str) -> dict[str, Array]:
    try:
        return tables.read(path, name=name, dtype=dtype)
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None


def _of_graph(source: Path, inputs: Path, expected: Path) -> Known:
    try:
        told = graph.read(read_file(source.parent, source.name))
    except (BadData, onnxfile.BadOnnx) as error:
        raise NotImportable(source, [str(error)]) from None
    wanted = [p for p in told.inputs if p.name not in told.initialised]
    given = _of_ports(inputs, wanted, "inputs", bits=True)
    answers = _of_ports(expected, told.outputs, "outputs", bits=False)
    options: dict[str, Any] = {}
    if given.elements:
        options["feeds"] = [_feed(name, given.elements.get(name, "")) for name in given.arrays]
    if len(answers.arrays) < len(told.outputs):
        options["outputs"] = list(answers.arrays)
    return Known(given, answers, options)


def _feed(name: str, element: str) -> dict[str, Any]:
    return {"name": name, "kind": "tensor", "count": 1, **({"element": element} if element else {})}


def _of_ports(path: Path, ports: list[Port] | tuple[Port, ...], what: str, *, bits: bool) -> Arrays:
    """Read the arrays of a graph's ports, in the graph's order; of types that NumPy lacks, their bits."""
    first = next(iter(ports), Port("", ""))
    stored = first.element.stored if first.element is not None and first.element.name != "string" else "<f4"
    found = _read(path, first.name, stored)
    if strange := sorted(set(found) - {p.name for p in ports}):
        there = ", ".join(p.name for p in ports) or "none"
        raise NotImportable(path, [f"{', '.join(strange)}: the graph's {what} are {there}"])
    arrays = Arrays()
    for port in ports:
        if port.name not in found:
            continue
        array = found[port.name]
        if path.suffix == ".csv" and array.ndim == 1 and port.rank == 2:
            array = array[:, None]
        element = port.element if port.element is not None and port.element.foreign else None
        if element is None:
            arrays.add(port.name, array)
        elif array.dtype.str != element.stored:
            raise NotImportable(
                path, [f"{port.name}: {element.name} is given by its bits, as {element.stored}"]
            )
        else:
            arrays.add(port.name, array if bits else widened(array, element), element.name)
    return arrays


def keep_file(made: Batch, source: Path, adapter: Adapter, known: Known, level: GraphOptimization) -> Kept:
    """Copy a model file, by the framework's adapter where it is not ONNX's."""
    if adapter.name == "onnx":
        return keep_onnx(made, source, read_file(source.parent, source.name), known, level)
    saved = adapter.save_file(source, known.inputs.arrays, made.folder, made.next.tag, SaveOptions())
    entries = tuple(writer.entry(made.folder, f.path, f.role, f.format) for f in saved.files)
    return Kept(entries, saved.model, {**saved.options, **known.options}, saved.notes, saved.kept)


def keep_onnx(made: Batch, path: Path, data: bytes, known: Known, level: GraphOptimization) -> Kept:
    """Write an ONNX model's bytes, and its external data where it has any. Raises BadData and BadModel."""
    try:
        found = onnxfile.inspect(data)
    except onnxfile.BadOnnx as error:
        raise BadData(f"{path.name}: {error}") from None
    tag = made.next.tag
    renamed = external_names(path, found, tag)
    # Whoever imports a model compares its answers with the third party's: weights that saturate are no trap
    # that one must be kept from, but they are told.
    looked = Looked.at(found, data, path.parent, SaveOptions(graph_optimization=level, keep_saturating=True))
    options: Mapping[str, Any] = {"graph_optimization": level, "facts": looked.facts, **known.options}
    if not renamed:
        entry = made.write(f"model_{tag}.onnx", data, "model", "onnx")
        return Kept((entry,), entry.path, dict(options), looked.notes, looked.kept)
    saved, notes = keep_copy(path, renamed, made.folder, tag)
    entries = tuple(writer.entry(made.folder, f.path, f.role, f.format) for f in saved)
    return Kept(entries, entries[0].path, dict(options), notes + looked.notes, looked.kept)
