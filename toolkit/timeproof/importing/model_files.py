"""A model file and the files beside it: find its framework, read its inputs and answers, copy its bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotImportable
from timeproof.frameworks.base import Adapter, SaveOptions
from timeproof.frameworks.choose import adapter_for_file
from timeproof.frameworks.onnx import signature as graph
from timeproof.frameworks.onnx.adapter import Looked
from timeproof.frameworks.onnx.case_folders import Arrays, Known, read_file
from timeproof.frameworks.onnx.external_data import external_names, keep_copy
from timeproof.frameworks.onnx.probe import onnxfile
from timeproof.frameworks.onnx.probe.elements import widened
from timeproof.frameworks.onnx.signature import Port
from timeproof.frameworks.onnx.tensor_files import BadData
from timeproof.frameworks.options import FrameworkOptions, GraphOptimization
from timeproof.importing import array_files
from timeproof.importing.features import add_column_names, read_feature_names
from timeproof.importing.fitting import fit_answer, fit_input
from timeproof.store import publish
from timeproof.store.batch import Batch
from timeproof.store.reference import Array
from timeproof.store.schema.v1 import FileEntry

# For each framework of trees: the names that its answers may have, in the loader's order, and their dtypes.
# An answer without a name is the first.
_TREES = {
    "xgboost": {"predict": "<f4", "margin": "<f4", "leaf": "<f4"},
    "lightgbm": {"predict": "<f8", "raw_score": "<f8", "leaf": "<i4"},
}


@dataclass(frozen=True, slots=True)
class Kept:
    """The files that were written for a model, and the options of its loader."""

    files: tuple[FileEntry, ...]
    model: str
    options: dict[str, Any]
    notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()  # what `Metadata.kept` says
    scores: Mapping[str, bool] = field(
        default_factory=dict
    )  # output → class scores, as the model itself says
    signature: Mapping[str, Json] = field(default_factory=dict)


def adapter_of(source: Path) -> Adapter:
    """Return the adapter of a model file. Raises NotFound and NotArchivable."""
    return adapter_for_file(source)


def read_known(source: Path, framework: str, inputs: Path, expected: Path, trees: int | None = None) -> Known:
    """Read a model's inputs and its known answers.

    Args:
        trees: how many boosting rounds gave the answers; None for all.

    Raises NotImportable, which names the file, and BadRequest.
    """
    if trees is not None and (framework not in _TREES or trees < 1):
        raise BadRequest(
            f"--trees {trees}: {framework} models have no boosting rounds"
            if framework not in _TREES
            else f"--trees {trees}: the number of boosting rounds must be 1 or more",
            advice="leave --trees out where the whole model gave the answers",
        )
    if framework == "onnx":
        return _read_for_graph(source, inputs, expected)
    dtypes = _TREES[framework]
    first = next(iter(dtypes))
    arrays, columns = _read(inputs, "input", "<f8")
    answers, _ = _read(expected, first, dtypes[first])
    if strange := sorted(set(answers) - set(dtypes)):
        *names, last = dtypes
        raise NotImportable(
            expected,
            [f"{', '.join(strange)}: a {framework} model's answers are called {', '.join(names)} and {last}"],
        )
    ordered: dict[str, Array] = {}
    notes: list[str] = []
    for name in (n for n in dtypes if n in answers):
        ordered[name], changes = fit_answer(name, answers[name], dtypes[name])
        notes += changes
    options: dict[str, Any] = {"outputs": list(ordered)}
    if trees is not None:
        options |= {"iteration_range": [0, trees]} if framework == "xgboost" else {"num_iteration": trees}
        notes.append(f"the answers are those of the first {trees} boosting rounds")
    return Known(Arrays(arrays), Arrays(ordered), options, columns, tuple(notes))


def _read(path: Path, name: str, dtype: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    try:
        return array_files.read_with_columns(path, name=name, dtype=dtype)
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None


def _read_ports(source: Path) -> tuple[list[Port], list[Port]]:
    """Read which inputs a graph must be given, and its outputs. Raises NotImportable."""
    try:
        ports = graph.read(read_file(source.parent, source.name))
    except (BadData, onnxfile.BadOnnx) as error:
        raise NotImportable(source, [str(error)]) from None
    return [p for p in ports.inputs if p.name not in ports.initialised], list(ports.outputs)


def _read_for_graph(source: Path, inputs: Path, expected: Path) -> Known:
    required, outputs = _read_ports(source)
    feeds, input_notes = _read_for_ports(inputs, required, "inputs", bits=True)
    answers, answer_notes = _read_for_ports(expected, outputs, "outputs", bits=False)
    options: dict[str, Any] = {}
    if feeds.elements:
        options["feeds"] = [_feed(name, feeds.elements.get(name, "")) for name in feeds.arrays]
    if len(answers.arrays) < len(outputs):
        options["outputs"] = list(answers.arrays)
    return Known(feeds, answers, options, notes=input_notes + answer_notes)


def read_table_inputs(source: Path, table: Path) -> dict[str, Array]:
    """Read the inputs of a model file from a table of text, in the columns' order and the model's dtype.

    Raises:
        NotImportable: the file is not a table of numbers, or names the model's features in another order.
    """
    framework = adapter_for_file(source).name
    if framework == "onnx":
        return _read_for_ports(table, _read_ports(source)[0], "inputs", bits=True)[0].arrays
    arrays, columns = _read(table, "input", "<f8")
    try:
        add_column_names({}, columns, read_feature_names(source, framework) if columns else ())
    except BadData as error:
        raise NotImportable(table, [str(error)]) from None
    return arrays


def _feed(name: str, element: str) -> dict[str, Any]:
    return {"name": name, "kind": "tensor", "count": 1, **({"element": element} if element else {})}


def _read_for_ports(
    path: Path, ports: Sequence[Port], side: str, *, bits: bool
) -> tuple[Arrays, tuple[str, ...]]:
    """Read the arrays of a graph's ports, in the graph's order and dtypes; a note for each changed dtype.

    Args:
        side: "inputs" or "outputs", for messages.
        bits: keep the values of types that NumPy lacks as their bits; otherwise widen them.
    """
    first = next(iter(ports), Port("", ""))
    stored = first.element.stored if first.element is not None and first.element.name != "string" else "<f4"
    by_name, _ = _read(path, first.name, stored)
    if strange := sorted(set(by_name) - {p.name for p in ports}):
        names = ", ".join(p.name for p in ports) or "none"
        raise NotImportable(path, [f"{', '.join(strange)}: the graph's {side} are {names}"])
    arrays = Arrays()
    notes: list[str] = []
    for port in ports:
        if port.name not in by_name:
            continue
        array = by_name[port.name]
        if path.suffix.lower() in array_files.TEXT and array.ndim == 1 and port.rank == 2:
            array = array[:, None]
        element = port.element if port.element is not None and port.element.foreign else None
        if element is None:
            array, changes = _fit(path, port, array, fit_input if bits else fit_answer)
            arrays.add(port.name, array)
            notes += changes
        elif array.dtype.str != element.stored:
            raise NotImportable(
                path, [f"{port.name}: give {element.name} as its bits, in an array of {element.stored}"]
            )
        else:
            arrays.add(port.name, array if bits else widened(array, element), element.name)
    return arrays, tuple(notes)


def _fit(
    path: Path, port: Port, array: Array, fit: Callable[[str, Array, str], tuple[Array, tuple[str, ...]]]
) -> tuple[Array, tuple[str, ...]]:
    if port.element is None or port.element.name == "string":
        return array, ()
    try:
        return fit(port.name, array, port.element.stored)
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None


def copy_model_file(
    batch: Batch, source: Path, adapter: Adapter, case: Known, level: GraphOptimization
) -> Kept:
    """Copy a model file, with the framework's adapter where it is not ONNX. Raises BadData and BadModel."""
    if adapter.name == "onnx":
        return copy_onnx(batch, source, read_file(source.parent, source.name), case, level)
    saved = adapter.save_file(source, case.inputs.arrays, batch.folder, batch.next.tag, SaveOptions())
    names = read_feature_names(source, adapter.name) if case.columns else ()
    signature = add_column_names(saved.signature, case.columns, names)
    entries = tuple(publish.entry(batch.folder, f.path, f.role, f.format) for f in saved.files)
    cut = case.options.get("iteration_range") is not None
    notes = tuple(n for n in saved.notes if not (cut and "with all" in n and "trees" in n))
    options = {**saved.options, **case.options}
    return Kept(entries, saved.model, options, notes, saved.kept, saved.scores, signature)


def copy_onnx(batch: Batch, path: Path, data: bytes, case: Known, level: GraphOptimization) -> Kept:
    """Write an ONNX model's bytes, and its external data where it has any. Raises BadData and BadModel."""
    try:
        model = onnxfile.inspect(data)
    except onnxfile.BadOnnx as error:
        raise BadData(f"{path.name}: {error}") from None
    tag = batch.next.tag
    renamed = external_names(path, model, tag)
    # The answers come from a third party, so weights that saturate cannot spoil them: a note is enough.
    saving = SaveOptions(FrameworkOptions(graph_optimization=level), keep_saturating=True)
    looked = Looked.at(model, data, path.parent, saving)
    options: Mapping[str, Any] = {"graph_optimization": level, "facts": looked.facts, **case.options}
    if not renamed:
        entry = batch.write(f"model_{tag}.onnx", data, "model", "onnx")
        return Kept((entry,), entry.path, dict(options), looked.notes, looked.kept, looked.scores)
    saved, notes = keep_copy(path, renamed, batch.folder, tag)
    entries = tuple(publish.entry(batch.folder, f.path, f.role, f.format) for f in saved)
    return Kept(entries, entries[0].path, dict(options), notes + looked.notes, looked.kept, looked.scores)
