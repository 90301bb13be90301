"""Importing PMML files: with answers that lie beside them, or with those that they hold themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from timeproof.errors import BadRequest, NotArchivable, NotImportable
from timeproof.frameworks import array_files
from timeproof.frameworks.base import Array, Saved, SaveOptions
from timeproof.frameworks.fitting import fit_answer
from timeproof.frameworks.imports import Arrays, BadData, KnownAnswers, ModelCase
from timeproof.frameworks.options import GraphOptimization
from timeproof.frameworks.pmml import FRAMEWORK, documents
from timeproof.frameworks.pmml.documents import Document
from timeproof.frameworks.pmml.verification_data import read_verification
from timeproof.frameworks.registry import adapter_named


class PmmlImporter:
    """How PMML models are imported."""

    def read_own_answers(self, source: Path) -> KnownAnswers:
        """Read the rows of a file's own ModelVerification. Raises NotImportable where it has none."""
        try:
            root = documents.parse(source, with_verification=True)
            document = documents.describe(root, source)
            return read_verification(root, document)
        except (BadData, NotArchivable) as error:
            raise NotImportable(source, [_reason(error)]) from None

    def read_answers(self, source: Path, inputs: Path, expected: Path, rounds: int | None) -> KnownAnswers:
        if rounds is not None:
            raise BadRequest(f"--trees {rounds}: a PMML model is evaluated whole", advice="leave it out")
        document = _described(source)
        table, columns = _read(inputs, "input", "<f8")
        arrays = _in_order(inputs, table, columns, document)
        first = document.outputs[0] if document.outputs else "predict"
        answers, _ = _read(expected, first, "<f8")
        fitted, notes = _fitted(expected, answers, document)
        options = {"outputs": list(fitted)}
        return KnownAnswers(Arrays(arrays), Arrays(fitted), options, columns, notes)

    def read_table(self, source: Path, table: Path) -> dict[str, Array]:
        arrays, columns = _read(table, "input", "<f8")
        return _in_order(table, arrays, columns, _described(source))

    def save(
        self,
        source: Path,
        answers: KnownAnswers,
        folder: Path,
        tag: str,
        level: GraphOptimization,  # noqa: ARG002 - every importer is called alike
    ) -> Saved:
        saved = adapter_named(FRAMEWORK.name).save_file(
            source, answers.inputs.arrays, folder, tag, SaveOptions()
        )
        return replace(saved, framework_version=None, options={**saved.options, **answers.options})

    def find_cases(self, root: Path) -> Sequence[ModelCase] | None:  # noqa: ARG002 - every importer is called alike
        return None


IMPORTER = PmmlImporter()


def _described(source: Path) -> Document:
    try:
        return documents.read(source)
    except NotArchivable as error:
        raise NotImportable(source, [error.message]) from None


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, NotArchivable) else str(error)


def _read(path: Path, name: str, dtype: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    try:
        return array_files.read_with_columns(path, name=name, dtype=dtype)
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None


def _in_order(
    path: Path, arrays: Mapping[str, Array], columns: Sequence[str], document: Document
) -> dict[str, Array]:
    """Put a table's named columns into the order of the document's fields. Raises NotImportable."""
    names = list(document.fields)
    if not columns:
        return dict(arrays)
    if missing := [name for name in names if name not in columns and name not in document.optional]:
        raise NotImportable(path, [f"it has no column {missing[0]!r}, which the model takes"])
    (table,) = arrays.values()
    wide = table.reshape(len(table), -1)
    return {name: np.ascontiguousarray(wide[:, columns.index(name)]) for name in names if name in columns}


def _fitted(
    path: Path, answers: Mapping[str, Array], document: Document
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Give the answers as the evaluator gives them, numbers as float64. Raises NotImportable."""
    if document.outputs and (strange := sorted(set(answers) - set(document.outputs))):
        raise NotImportable(
            path, [f"{', '.join(strange)}: the model's outputs are {', '.join(document.outputs)}"]
        )
    fitted: dict[str, Array] = {}
    notes: list[str] = []
    for name, array in answers.items():
        vector = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
        fitted[name], changes = (
            fit_answer(name, vector, "<f8") if vector.dtype.kind in "iub" else (vector, ())
        )
        notes += changes
    return fitted, tuple(notes)
