"""PMML documents beside another framework's model: our own, and those that somebody else made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from timeproof.base.strictjson import Json
from timeproof.frameworks.base import Array, Copy, Saved, SavedFile, copy_bytes
from timeproof.frameworks.pmml import FRAMEWORK, documents
from timeproof.frameworks.pmml.documents import Document
from timeproof.frameworks.pmml.verification import Verification
from timeproof.frameworks.pmml.writer import document_of
from timeproof.frameworks.trees.ensemble import Ensemble
from timeproof.frameworks.trees.field_documents import model_categories, model_columns, sparse_options
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
    partial = len(written.outputs) < len(recorded.outputs)  # classes that are no text and no whole numbers
    copy = Copy(FRAMEWORK.name, FRAMEWORK.name, file, options, facts, partial=partial)
    return with_file(saved, SavedFile(file, "interchange", FRAMEWORK.name), copy)


def add_copy(path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, saved: Saved) -> Saved:
    """Copy a document that somebody converted the model to. Raises NotArchivable for other inputs."""
    document = documents.read(path)
    columns = model_columns(list(document.fields), inputs, saved)
    options: dict[str, Json] = {
        "columns": columns,
        "outputs": _tables(document),
        "categories": model_categories(columns, document.fields, saved),
        **sparse_options(saved),
    }
    file = f"model_{tag}.pmml"
    copy_bytes(path, folder / file)
    facts: dict[str, Json] = {"version": document.version}
    given_copy = Copy(FRAMEWORK.name, FRAMEWORK.name, file, options, facts, given=True)
    return with_file(saved, SavedFile(file, "interchange", FRAMEWORK.name), given_copy)


def _tables(document: Document) -> list[Json] | None:
    """Its outputs, those that are one class's probability each as one table."""
    if not document.probabilities:
        return None
    single_outputs: list[Json] = [name for name in document.outputs if name not in document.probabilities]
    return [{"name": "probability", "fields": [*document.probabilities]}, *single_outputs]
