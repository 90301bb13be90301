"""An ensemble of decision trees, whichever library trained it: what a copy in another format is written from.

Numbers are the library's own, bit for bit. No library is imported, and no file is read or written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal


class NoEnsemble(Exception):
    """The model is no ensemble that this record can hold. Says why, within a sentence."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the table.

    Args:
        categories: what its numbers 0, 1, … stand for; None where it holds numbers, or nameless categories.
        coded: it holds categories that are numbers.
    """

    name: str
    single: bool = False  # its values are rounded to float32
    categories: tuple[str, ...] | None = None
    coded: bool = False

    @property
    def categorical(self) -> bool:
        return self.coded or self.categories is not None


@dataclass(frozen=True, slots=True)
class Split:
    """An inner node: which rows go left.

    Args:
        operator: `<` and `<=`: those whose value is so against `threshold`; `in` and `not in`: those whose
            category is so of `categories`.
        missing_left: where a row without a value goes.
        zero_missing: a value that is nearly 0 goes where a missing one goes (LightGBM).
    """

    feature: int
    operator: Literal["<", "<=", "in", "not in"]
    left: int
    right: int
    missing_left: bool
    threshold: float = 0.0
    categories: tuple[int, ...] = ()
    zero_missing: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """The values that a row adds up: one, or one for each class."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes by their places; the root is the first, and children come after their parents."""

    nodes: tuple[Split | Leaf, ...]

    @classmethod
    def constant(cls, value: float) -> Tree:
        return cls((Leaf((value,)),))


Link = Literal["identity", "exp", "logistic", "softmax", "each", "shares"]
Shape = Literal["value", "columns", "label"]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Groups of trees, each added up in order; and what becomes of the sums.

    Args:
        groups: one for each raw value. With leaves of several values there is one group.
        average: each sum is divided by the number of its trees.
        single: sums are rounded to float32 after each tree, and so are the outputs.
        link: `identity` gives the raw values; `exp` and `logistic` are of a number, `softmax` of all groups;
            `each` is logistic for each group by itself; `shares`: leaves hold shares of classes already.
        scale: what a raw value is multiplied by before the link.
        classes: their names, for classifiers; two for one group.
        raw: the output of raw values; empty for none.
        answer: the output of the answer, empty for none; `shape`: of one value a row (for two classes the
            second's probability), one column a class, or the class itself.
        label: the output that holds the names of classes, empty for none; `label_dtype`: NumPy's of them;
            `label_table`: it is a table of one column.
    """

    library: str
    features: tuple[Feature, ...]
    groups: tuple[tuple[Tree, ...], ...]
    link: Link
    raw: str
    answer: str
    average: bool = False
    single: bool = False
    scale: float = 1.0
    shape: Shape = "value"
    classes: tuple[str, ...] = ()
    label: str = ""
    label_dtype: str = ""
    label_table: bool = False
    missing_value: float | None = None  # another number than NaN that means a missing value
    absent: float | None = None  # what a sparse matrix leaves out; None: a missing value

    def nodes(self) -> int:
        return sum(len(tree.nodes) for group in self.groups for tree in group)

    def trees(self) -> Iterator[Tree]:
        return (tree for group in self.groups for tree in group)


@dataclass(slots=True)
class Growing:
    """A tree that is put together from a library's own arrays, node by node, parents first."""

    nodes: list[Split | Leaf | None] = field(default_factory=list)

    def reserve(self) -> int:
        self.nodes.append(None)
        return len(self.nodes) - 1

    def finish(self) -> Tree:
        return Tree(tuple(node for node in self.nodes if node is not None))


def require_finite(values: Sequence[float]) -> None:
    """Raise NoEnsemble where a number is infinite or NaN."""
    if not all(math.isfinite(value) for value in values):
        raise NoEnsemble("a threshold or a leaf of it is no finite number")


def feature_names(names: Sequence[str] | None, count: int, prefix: str) -> list[str]:
    """Give `count` names: the model's own where they can name fields, else made-up ones."""
    given_names = [str(name) for name in names or ()]
    usable = len(given_names) == count == len(set(given_names)) and all(
        name and name.isprintable() for name in given_names
    )
    return given_names if usable else [f"{prefix}{k}" for k in range(count)]
