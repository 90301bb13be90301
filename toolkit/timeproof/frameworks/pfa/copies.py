"""PFA documents beside another framework's model: our own, and those that somebody else made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from timeproof.base.strictjson import Json
from timeproof.frameworks.base import Array, Copy, Saved, SavedFile, copy_bytes
from timeproof.frameworks.pfa import FRAMEWORK, documents
from timeproof.frameworks.pfa.writer import document_of
from timeproof.frameworks.trees.ensemble import Ensemble
from timeproof.frameworks.trees.field_documents import model_categories, model_columns, sparse_options
from timeproof.frameworks.trees.recorded import Recorded, table_options, with_file


def write_copy(
    ensemble: Ensemble,
    recorded: Recorded,
    folder: Path,
    tag: str,
    saved: Saved,
) -> Saved:
    """Write an ensemble as `model_<tag>.pfa`. Raises NoEnsemble."""
    written = document_of(ensemble)
    file = f"model_{tag}.pfa"
    (folder / file).write_bytes(written.data)
    options = {
        **table_options(ensemble, saved),
        "columns": written.columns,
        "categories": written.categories,
        "outputs": written.outputs,
    }
    facts: dict[str, Json] = {"writer": "timeproof", "nodes": ensemble.nodes()}
    partial = len(written.outputs) < len(recorded.outputs)  # the names of classes are left out
    copy = Copy(FRAMEWORK.name, FRAMEWORK.name, file, options, facts, partial=partial)
    return with_file(saved, SavedFile(file, "interchange", FRAMEWORK.name), copy)


def add_copy(path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, saved: Saved) -> Saved:
    """Copy a document that somebody converted the model to. Raises NotArchivable for other inputs."""
    document = documents.read(path)
    columns = model_columns(list(document.fields), inputs, saved)
    options: dict[str, Json] = {
        "columns": columns,
        "categories": model_categories(columns, document.fields, saved),
        **sparse_options(saved),
    }
    file = f"model_{tag}.pfa"
    copy_bytes(path, folder / file)
    given_copy = Copy(FRAMEWORK.name, FRAMEWORK.name, file, options, {}, given=True)
    return with_file(saved, SavedFile(file, "interchange", FRAMEWORK.name), given_copy)
