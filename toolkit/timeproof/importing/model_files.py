"""A model file and what lies beside it: which framework's it is, its inputs and answers, its bytes kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from timeproof.importing.features import described, named_features
from timeproof.importing.fitting import fit_answer, fit_input
from timeproof.store import publish
from timeproof.store.reference import Array
from timeproof.store.schema.v1 import FileEntry

# Of each framework of trees: what its answers may be called, in the loader's order, and their dtypes. An
# answer without a name is the first.
_TREES = {
    "xgboost": {"predict": "<f4", "margin": "<f4", "leaf": "<f4"},
    "lightgbm": {"predict": "<f8", "raw_score": "<f8", "leaf": "<i4"},
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written of a model, and what its loader is told."""

    files: tuple[FileEntry, ...]
    model: str
    options: dict[str, Any]
    notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()  # what `Metadata.kept` says
    scores: Mapping[str, bool] = field(default_factory=dict)  # as the model itself says
    signature: Mapping[str, Json] = field(default_factory=dict)


def adapter_of(source: Path) -> Adapter:
    """The adapter of a model file. Raises NotFound and NotArchivable."""
    return adapter_for_file(source)


def known(source: Path, framework: str, inputs: Path, expected: Path, trees: int | None = None) -> Known:
    """Read a model's inputs and its known answers.

    Args:
        trees: how many boosting rounds gave the answers; None: all.

    Raises NotImportable, naming the file, and BadRequest.
    """
    if trees is not None and (framework not in _TREES or trees < 1):
        raise BadRequest(
            f"--trees {trees}: {framework} models have no boosting rounds"
            if framework not in _TREES
            else f"--trees {trees}: it is a number of boosting rounds, 1 or more",
            advice="leave it out to have the whole model's answer",
        )
    if framework == "onnx":
        return _of_graph(source, inputs, expected)
    dtypes = _TREES[framework]
    first = next(iter(dtypes))
    given, columns = _read(inputs, "input", "<f8")
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
        ordered[name], said = fit_answer(name, answers[name], dtypes[name])
        notes += said
    options: dict[str, Any] = {"outputs": list(ordered)}
    if trees is not None:
        options |= {"iteration_range": [0, trees]} if framework == "xgboost" else {"num_iteration": trees}
        notes.append(f"the answers are those of the first {trees} boosting rounds")
    return Known(Arrays(given), Arrays(ordered), options, columns, tuple(notes))


def _read(path: Path, name: str, dtype: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    try:
        return array_files.read_with_columns(path, name=name, dtype=dtype)
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None


def _of_graph(source: Path, inputs: Path, expected: Path) -> Known:
    try:
        told = graph.read(read_file(source.parent, source.name))
    except (BadData, onnxfile.BadOnnx) as error:
        raise NotImportable(source, [str(error)]) from None
    wanted = [p for p in told.inputs if p.name not in told.initialised]
    given, taken = _of_ports(inputs, wanted, "inputs", bits=True)
    answers, notes = _of_ports(expected, told.outputs, "outputs", bits=False)
    options: dict[str, Any] = {}
    if given.elements:
        options["feeds"] = [_feed(name, given.elements.get(name, "")) for name in given.arrays]
    if len(answers.arrays) < len(told.outputs):
        options["outputs"] = list(answers.arrays)
    return Known(given, answers, options, notes=taken + notes)


def table_inputs(source: Path, table: Path) -> dict[str, Array]:
    """Read the inputs of a model file from a table of text, in the columns' order and the model's dtype.

    Raises:
        NotImportable: the table is none, or names the model's features in another order.
    """
    framework = adapter_for_file(source).name
    if framework == "onnx":
        try:
            ports = graph.read(read_file(source.parent, source.name))
        except (BadData, onnxfile.BadOnnx) as error:
            raise NotImportable(source, [str(error)]) from None
        wanted = [p for p in ports.inputs if p.name not in ports.initialised]
        return _of_ports(table, wanted, "inputs", bits=True)[0].arrays
    arrays, columns = _read(table, "input", "<f8")
    try:
        described({}, columns, named_features(source, framework) if columns else ())
    except BadData as error:
        raise NotImportable(table, [str(error)]) from None
    return arrays


def _feed(name: str, element: str) -> dict[str, Any]:
    return {"name": name, "kind": "tensor", "count": 1, **({"element": element} if element else {})}


def _of_ports(
    path: Path, ports: list[Port] | tuple[Port, ...], what: str, *, bits: bool
) -> tuple[Arrays, tuple[str, ...]]:
    """Read the arrays of a graph's ports, in the graph's order and dtypes, and say which had another one.

    Of types that NumPy lacks the bits are read.
    """
    first = next(iter(ports), Port("", ""))
    stored = first.element.stored if first.element is not None and first.element.name != "string" else "<f4"
    found, _ = _read(path, first.name, stored)
    if strange := sorted(set(found) - {p.name for p in ports}):
        there = ", ".join(p.name for p in ports) or "none"
        raise NotImportable(path, [f"{', '.join(strange)}: the graph's {what} are {there}"])
    arrays = Arrays()
    notes: list[str] = []
    for port in ports:
        if port.name not in found:
            continue
        array = found[port.name]
        if path.suffix.lower() in array_files.TEXT and array.ndim == 1 and port.rank == 2:
            array = array[:, None]
        element = port.element if port.element is not None and port.element.foreign else None
        if element is None:
            array, said = _fitted(path, port, array, fit_input if bits else fit_answer)
            arrays.add(port.name, array)
            notes += said
        elif array.dtype.str != element.stored:
            raise NotImportable(
                path, [f"{port.name}: {element.name} is given by its bits, as {element.stored}"]
            )
        else:
            arrays.add(port.name, array if bits else widened(array, element), element.name)
    return arrays, tuple(notes)


def _fitted(
    path: Path, port: Port, array: Array, fit: Callable[[str, Array, str], tuple[Array, tuple[str, ...]]]
) -> tuple[Array, tuple[str, ...]]:
    if port.element is None or port.element.name == "string":
        return array, ()
    try:
        return fit(port.name, array, port.element.stored)
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None


def keep_file(
    draft: publish.Draft, source: Path, adapter: Adapter, known: Known, level: GraphOptimization
) -> Kept:
    """Copy a model file, by the framework's adapter where it is not ONNX's. Raises BadData and BadModel."""
    if adapter.name == "onnx":
        return keep_onnx(draft, source, read_file(source.parent, source.name), known, level)
    saved = adapter.save_file(source, known.inputs.arrays, draft.folder, draft.ref.tag, SaveOptions())
    names = named_features(source, adapter.name) if known.columns else ()
    signature = described(saved.signature, known.columns, names)
    entries = tuple(publish.entry(draft.folder, f.path, f.role, f.format) for f in saved.files)
    cut = known.options.get("iteration_range") is not None
    notes = tuple(n for n in saved.notes if not (cut and "with all" in n and "trees" in n))
    options = {**saved.options, **known.options}
    return Kept(entries, saved.model, options, notes, saved.kept, saved.scores, signature)


def keep_onnx(draft: publish.Draft, path: Path, data: bytes, known: Known, level: GraphOptimization) -> Kept:
    """Write an ONNX model's bytes, and its external data where it has any. Raises BadData and BadModel."""
    try:
        found = onnxfile.inspect(data)
    except onnxfile.BadOnnx as error:
        raise BadData(f"{path.name}: {error}") from None
    tag = draft.ref.tag
    renamed = external_names(path, found, tag)
    # Whoever imports a model compares its answers with the third party's: weights that saturate are no trap
    # that one must be kept from, but they are told.
    looked = Looked.at(
        found,
        data,
        path.parent,
        SaveOptions(FrameworkOptions(graph_optimization=level), keep_saturating=True),
    )
    options: Mapping[str, Any] = {"graph_optimization": level, "facts": looked.facts, **known.options}
    if not renamed:
        entry = draft.write(f"model_{tag}.onnx", data, "model", "onnx")
        return Kept((entry,), entry.path, dict(options), looked.notes, looked.kept, looked.scores)
    saved, notes = keep_copy(path, renamed, draft.folder, tag)
    entries = tuple(publish.entry(draft.folder, f.path, f.role, f.format) for f in saved)
    return Kept(entries, entries[0].path, dict(options), notes + looked.notes, looked.kept, looked.scores)
