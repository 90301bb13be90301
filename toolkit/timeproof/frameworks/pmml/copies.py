"""PMML documents beside another framework's model: our own, and those that somebody else made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, Copy, Saved, SavedFile, copy_bytes
from timeproof.frameworks.pmml import FRAMEWORK, documents
from timeproof.frameworks.pmml.documents import Document
from timeproof.frameworks.pmml.verification import Verification
from timeproof.frameworks.pmml.writer import document_of
from timeproof.frameworks.trees.ensemble import Ensemble
from timeproof.frameworks.trees.recorded import Recorded, table_options, with_file


def write_copy(ensemble: Ensemble, recorded: Recorded, folder: Path, tag: str, saved: Saved) -> Saved:
    """Write an ensemble as `model_<tag>.pmml`, with the recorded rows as its ModelVerification."""
    table = recorded.dense(ensemble)
    verification = None if table is None or not recorded.outputs else Verification(table, recorded.outputs)
    written = document_of(ensemble, verification)
    file = f"model_{tag}.pmml"
    (folder / file).write_bytes(written.data)
    options = {**table_options(ensemble, saved), "outputs": written.outputs}
    facts: dict[str, Json] = {"version": "4.4", "writer": "timeproof", "nodes": ensemble.nodes()}
    copy = Copy(FRAMEWORK.name, FRAMEWORK.name, file, options, facts)
    return with_file(saved, SavedFile(file, "interchange", FRAMEWORK.name), copy)


def add_copy(path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, saved: Saved) -> Saved:
    """Copy a document that somebody converted the model to. Raises NotArchivable for other inputs."""
    document = documents.read(path)
    columns = _columns(document, inputs, saved)
    options: dict[str, Json] = {
        "columns": columns,
        "outputs": _tables(document),
        "categories": _categories(document, columns, saved),
        "sparse": saved.options.get("sparse"),
        "absent": 0.0 if saved.framework == "lightgbm" else None,
    }
    file = f"model_{tag}.pmml"
    copy_bytes(path, folder / file)
    facts: dict[str, Json] = {"version": document.version}
    given_copy = Copy(FRAMEWORK.name, FRAMEWORK.name, file, options, facts, given=True)
    return with_file(saved, SavedFile(file, "interchange", FRAMEWORK.name), given_copy)


def _columns(document: Document, inputs: Mapping[str, Array], saved: Saved) -> list[Json]:
    """Which field each column of the model's table is: by its name, else by its place."""
    model_names = _names(saved)
    fields = list(document.fields)
    sparse: Any = saved.options.get("sparse")
    width = int(sparse["shape"][1]) if sparse else next(iter(inputs.values())).shape[-1]
    if set(fields) <= set(model_names) and len(model_names) == width:
        return [*model_names]
    if len(fields) != width:
        raise NotArchivable(
            f"the copy takes {len(fields)} fields ({', '.join(fields[:10])}), the model {width} columns",
            advice="convert the model anew, with all its columns, and with their model_names names",
        )
    return [*fields]


def _names(saved: Saved) -> list[str]:
    features: Any = saved.signature.get("features") or []
    names: Any = saved.options.get("feature_names") or [feature["name"] for feature in features]
    return [str(name) for name in names]


def _categories(document: Document, columns: Sequence[Json], saved: Saved) -> dict[str, Json]:
    """What the numbers of a column stand for, where the document's field holds text."""
    features: Any = saved.signature.get("features") or []
    return {
        str(column): [str(category) for category in feature["categories"]]
        for column, feature in zip(columns, features, strict=False)
        if feature.get("categories") and document.fields.get(str(column)) == "string"
    }


def _tables(document: Document) -> list[Json] | None:
    """Its outputs, those that are one class's probability each as one table."""
    if not document.probabilities:
        return None
    single_outputs: list[Json] = [name for name in document.outputs if name not in document.probabilities]
    return [{"name": "probability", "fields": [*document.probabilities]}, *single_outputs]
