"""What imports models with somebody's answers: `FrameworkSpec.imports` names a framework's `Importer`.

Nothing of it runs a model. Reading arrays from files is `array_files`; fitting them to a model's dtypes,
`fitting`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from timeproof.errors import BadRequest
from timeproof.frameworks.base import Array, Saved
from timeproof.frameworks.options import GraphOptimization
from timeproof.frameworks.spec import FrameworkSpec, load_attribute


class BadData(Exception):
    """Bytes that are not what they should be, or declare what is not there. Says what, not where."""


@dataclass(slots=True)
class Arrays:
    """One side of a reference: arrays by name, and ONNX's types of those that NumPy has no name for."""

    arrays: dict[str, Array] = field(default_factory=dict)
    elements: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, array: Array, element: str = "") -> None:
        """Raises BadData where a name stands twice."""
        if name in self.arrays:
            raise BadData(f"two arrays would be called {name!r}")
        self.arrays[name] = array
        if element:
            self.elements[name] = element


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """A model's inputs and its known answers. `options` are the loader's, beyond the framework's own."""

    inputs: Arrays
    outputs: Arrays
    options: Mapping[str, Any]
    columns: tuple[str, ...] = ()  # names of the input's columns, where its file has them
    notes: tuple[str, ...] = ()  # what was done to the arrays, or what they lack


@dataclass(frozen=True, slots=True)
class ModelCase:
    """A model that lies beside its inputs and answers. `save`: folder, tag, level → what was written."""

    name: str
    tags: Mapping[str, str]
    save: Callable[[Path, str, GraphOptimization], tuple[Saved, KnownAnswers]]


class Importer(Protocol):
    """How one framework's models are imported.

    An importer whose files may hold inputs and answers themselves has `read_own_answers(source)`, too, which
    gives them as `read_answers` does.
    """

    def read_answers(self, source: Path, inputs: Path, expected: Path, rounds: int | None) -> KnownAnswers:
        """Read a model file's inputs and answers, in the model's own dtypes.

        Args:
            rounds: how many boosting rounds gave the answers; None: all.

        Raises NotImportable, naming the file, and BadRequest.
        """

    def read_table(self, source: Path, table: Path) -> dict[str, Array]:
        """Read a model file's inputs from a table of text. Raises NotImportable."""

    def save(
        self, source: Path, answers: KnownAnswers, folder: Path, tag: str, level: GraphOptimization
    ) -> Saved:
        """Write the model's files into `folder`. Raises BadData and BadModel."""

    def find_cases(self, root: Path) -> Sequence[ModelCase] | None:
        """Find models with their answers in a tree; None where the framework knows no such trees.

        Raises NotImportable where it does, and the tree holds none.
        """


def importer_of(spec: FrameworkSpec) -> Importer:
    """Give the importer of a framework. Raises BadRequest where it has none."""
    if not spec.imports:
        raise BadRequest(
            f"{spec.title} models can't be imported with their answers",
            advice="archive the model: timeproof.archive(model, inputs, grid_size=…)",
        )
    importer: Importer = load_attribute(spec.imports)
    return importer
