"""Importing documents with named fields (PMML, PFA), with answers that lie beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from timeproof.errors import BadRequest, NotArchivable, NotImportable
from timeproof.frameworks import array_files
from timeproof.frameworks.base import Array, Saved, SaveOptions
from timeproof.frameworks.fitting import fit_answer
from timeproof.frameworks.imports import Arrays, BadData, KnownAnswers, ModelCase
from timeproof.frameworks.options import GraphOptimization
from timeproof.frameworks.registry import adapter_named

# The fields by name with their types, those that inputs may lack, and the names of the outputs.
Description = tuple[Mapping[str, str], frozenset[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class FieldsImporter:
    """How the documents of one framework are imported.

    Args:
        framework: its name.
        describe: reads a file. Raises NotArchivable.
    """

    framework: str
    describe: Callable[[Path], Description]

    def read_answers(self, source: Path, inputs: Path, expected: Path, rounds: int | None) -> KnownAnswers:
        if rounds is not None:
            raise BadRequest(
                f"--trees {rounds}: a {self.framework} model is evaluated whole", advice="leave it out"
            )
        fields, optional, outputs = self._described(source)
        arrays, columns = _read(inputs, "input")
        arrays = _in_order(inputs, arrays, columns, fields, optional)
        answers, _ = _read(expected, outputs[0] if outputs else "predict")
        if outputs and (strange := sorted(set(answers) - set(outputs))):
            problem = f"{', '.join(strange)}: the model's outputs are {', '.join(outputs)}"
            raise NotImportable(expected, [problem])
        fitted, notes = _fitted(answers)
        return KnownAnswers(Arrays(arrays), Arrays(fitted), {"outputs": list(fitted)}, (), notes)

    def read_table(self, source: Path, table: Path) -> dict[str, Array]:
        """Read the inputs from a table of text, by its columns' names where it has some.

        Raises NotImportable for the table, and NotArchivable for the document.
        """
        fields, optional, _ = self.describe(source)
        arrays, columns = _read(table, "input")
        return _in_order(table, arrays, columns, fields, optional)

    def save(
        self,
        source: Path,
        answers: KnownAnswers,
        folder: Path,
        tag: str,
        level: GraphOptimization,  # noqa: ARG002 - every importer is called alike
    ) -> Saved:
        adapter = adapter_named(self.framework)
        saved = adapter.save_file(source, answers.inputs.arrays, folder, tag, SaveOptions())
        return replace(saved, framework_version=None, options={**saved.options, **answers.options})

    def find_cases(self, root: Path) -> Sequence[ModelCase] | None:  # noqa: ARG002 - every importer is called alike
        return None

    def _described(self, source: Path) -> Description:
        try:
            return self.describe(source)
        except NotArchivable as error:
            raise NotImportable(source, [error.message]) from None


def _read(path: Path, name: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    try:
        return array_files.read_with_columns(path, name=name, dtype="<f8")
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None


def _in_order(
    path: Path,
    arrays: dict[str, Array],
    columns: Sequence[str],
    fields: Mapping[str, str],
    optional: frozenset[str],
) -> dict[str, Array]:
    """Give a table's named columns as vectors, in the order of the fields. Raises NotImportable."""
    if not columns:
        return arrays
    if missing := [name for name in fields if name not in columns and name not in optional]:
        raise NotImportable(path, [f"it has no column {missing[0]!r}, which the model takes"])
    (table,) = arrays.values()
    wide = table.reshape(len(table), -1)
    return {name: np.ascontiguousarray(wide[:, columns.index(name)]) for name in fields if name in columns}


def _fitted(answers: Mapping[str, Array]) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Give whole numbers as float64, and one column as a vector."""
    fitted: dict[str, Array] = {}
    notes: list[str] = []
    for name, array in answers.items():
        vector = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
        if vector.dtype.kind in "iub":
            vector, changes = fit_answer(name, vector, "<f8")
            notes += changes
        fitted[name] = vector
    return fitted, tuple(notes)
