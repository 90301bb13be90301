"""Importing a file of trees: one table in, answers by the names that the loader gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from timeproof.errors import BadRequest, NotImportable
from timeproof.frameworks import array_files
from timeproof.frameworks.base import Array, Saved, SaveOptions
from timeproof.frameworks.fitting import fit_answer
from timeproof.frameworks.imports import Arrays, BadData, KnownAnswers, ModelCase
from timeproof.frameworks.options import GraphOptimization
from timeproof.frameworks.registry import adapter_named
from timeproof.frameworks.trees.features import add_columns


@dataclass(frozen=True, slots=True)
class TreesImporter:
    """How models of one library of trees are imported.

    Args:
        framework: its name.
        outputs: what its answers may be called, in the loader's order, and their dtypes; an answer without a
            name is the first.
        rounds_option: what the loader is told of the first so many boosting rounds.
        feature_names: reads the model's features, in their order, from its file; none where it names none.
    """

    framework: str
    outputs: Mapping[str, str]
    rounds_option: Callable[[int], dict[str, Any]]
    feature_names: Callable[[Path], tuple[str, ...]]

    def read_answers(self, source: Path, inputs: Path, expected: Path, rounds: int | None) -> KnownAnswers:  # noqa: ARG002 - every importer is called alike
        if rounds is not None and rounds < 1:
            raise BadRequest(
                f"--trees {rounds}: the number of boosting rounds must be 1 or more",
                advice="leave it out to have the whole model's answer",
            )
        first = next(iter(self.outputs))
        table, columns = _read(inputs, "input", "<f8")
        answers, _ = _read(expected, first, self.outputs[first])
        if strange := sorted(set(answers) - set(self.outputs)):
            *names, last = self.outputs
            problem = (
                f"{', '.join(strange)}: a {self.framework} model's answers are called {', '.join(names)} and"
            )
            raise NotImportable(expected, [f"{problem} {last}"])
        fitted: dict[str, Array] = {}
        notes: list[str] = []
        for name in (output for output in self.outputs if output in answers):
            fitted[name], changes = fit_answer(name, answers[name], self.outputs[name])
            notes += changes
        options: dict[str, Any] = {"outputs": list(fitted)}
        if rounds is not None:
            options |= self.rounds_option(rounds)
            notes.append(f"the answers are those of the first {rounds} boosting rounds")
        return KnownAnswers(Arrays(table), Arrays(fitted), options, columns, tuple(notes))

    def read_table(self, source: Path, table: Path) -> dict[str, Array]:
        """Read the table in its columns' order. Raises NotImportable where that is not the model's order."""
        arrays, columns = _read(table, "input", "<f8")
        try:
            add_columns({}, columns, self.feature_names(source) if columns else ())
        except BadData as error:
            raise NotImportable(table, [str(error)]) from None
        return arrays

    def save(
        self,
        source: Path,
        answers: KnownAnswers,
        folder: Path,
        tag: str,
        level: GraphOptimization,  # noqa: ARG002 - every importer is called alike
    ) -> Saved:
        saved = adapter_named(self.framework).save_file(
            source, answers.inputs.arrays, folder, tag, SaveOptions()
        )
        names = self.feature_names(source) if answers.columns else ()
        cut = answers.options.get("iteration_range") is not None
        return replace(
            saved,
            options={**saved.options, **answers.options},
            notes=tuple(note for note in saved.notes if not (cut and "with all" in note and "trees" in note)),
            signature=add_columns(saved.signature, answers.columns, names),
        )

    def find_cases(self, root: Path) -> Sequence[ModelCase] | None:  # noqa: ARG002 - every importer is called alike
        return None


def _read(path: Path, name: str, dtype: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    try:
        return array_files.read_with_columns(path, name=name, dtype=dtype)
    except BadData as error:
        raise NotImportable(path, [str(error)]) from None
