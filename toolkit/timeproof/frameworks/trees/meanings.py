"""What the outputs of a model of trees mean: the classes, the columns, and which of them are class scores.

No library is imported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from timeproof.base.strictjson import Json
from timeproof.frameworks.inputs import Table
from timeproof.frameworks.trees.tables import plain

# Names of more columns than this are not repeated beside the model, whose own file holds them.
_COLUMNS = 10_000


@dataclass(slots=True)
class Meaning:
    """What is known of a model's outputs. `scores` as in `Saved`; `columns`: output → what each one means."""

    classes: list[Json] = field(default_factory=list)
    columns: dict[str, list[Json]] = field(default_factory=dict)
    scores: dict[str, bool] = field(default_factory=dict)

    def add_single(self, output: str, word: str) -> None:
        """An output of one value a row."""
        self.columns[output] = [word]
        self.scores[output] = False

    def add_columns(self, output: str, word: str, things: Iterable[object], *, scores: bool) -> None:
        """An output of one column for each of `things`; `scores`: the largest of a row names its class."""
        self.columns[output] = [f"{word} {thing}" for thing in things]
        self.scores[output] = scores

    def signature(self, features: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
        signature: dict[str, Json] = {}
        if 0 < len(features) <= _COLUMNS:
            signature["features"] = [dict(feature) for feature in features]
        if self.classes:
            signature["classes"] = list(self.classes)
        if self.columns:
            signature["columns"] = {output: list(words) for output, words in self.columns.items()}
        return signature


def classes_of(model: object, count: int = 0) -> list[Json]:
    """The classes that the model names, as JSON values; else the first `count` numbers."""
    named = getattr(model, "classes_", None)
    return [plain(label) for label in (range(count) if named is None else named)]


def features_of(
    table: Table, names: Sequence[str] | None, types: Sequence[str] | None = None
) -> Sequence[Mapping[str, Json]]:
    """The features: as the user's table has them, else as the model does."""
    if table.features or not names:
        return table.features
    features: list[Mapping[str, Json]] = []
    for k, name in enumerate(names):
        features.append({"name": str(name), **({"type": str(types[k])} if types else {})})
    return features


def signature_of(table: Table) -> dict[str, Json]:
    """What is known of a model that is only a file: the features, as the user's table has them."""
    return Meaning().signature(table.features)
