"""A table as CatBoost takes it, as plain arrays: numbers, and beside them words and vectors.

CatBoost reads a category by its text (of a whole number, its digits), and so do these arrays hold it. No
library is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array
from timeproof.frameworks.inputs import Inputs, Table
from timeproof.frameworks.trees.tables import plain

_ADVICE = (
    "give the table that the model itself answers: numbers; strings or whole numbers for categories; strings"
    " for text; arrays of one length for embeddings"
)


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which of a model's features are not numbers, by their places; None where no live model says so."""

    words: frozenset[int] = frozenset()
    vectors: frozenset[int] = frozenset()
    known: bool = True


@dataclass(slots=True)
class Columns:
    """A table, column by column: `labels` are empty where it names none."""

    labels: Sequence[str]
    values: Sequence[Any]
    types: Sequence[str] = field(default_factory=list)
    categories: Mapping[int, Sequence[Any]] = field(default_factory=dict)


def of_frame(frame: Any) -> Columns:
    """Take a pandas DataFrame apart."""
    columns = [frame.iloc[:, k] for k in range(frame.shape[1])]
    categories = {
        k: [plain(category) for category in column.cat.categories]
        for k, column in enumerate(columns)
        if hasattr(column, "cat")
    }
    types = ["str" if kind == "object" else kind for kind in map(str, frame.dtypes)]
    return Columns([str(label) for label in frame.columns], columns, types, categories)


def of_rows(rows: Any) -> Columns:
    """Take an array of Python objects, or of strings, apart. Raises NotArchivable for no table."""
    if rows.ndim != 2:
        raise NotArchivable(
            f"a CatBoost model takes a table, not values of shape {list(rows.shape)}", advice=_ADVICE
        )
    return Columns([], [rows[:, k] for k in range(rows.shape[1])])


def as_inputs(columns: Columns, kinds: Kinds, name: str, original: object) -> Inputs:
    """Give the table's arrays: all numbers as one, each other column as its own.

    Raises NotArchivable, naming each column that can't be read.
    """
    if not columns.values or not len(columns.values[0]):
        raise NotArchivable(f"the input {name!r} is empty", advice="give at least one row and one column")
    numbers: dict[int, Array] = {}
    apart: dict[int, Array] = {}
    strange: list[str] = []
    for k, column in enumerate(columns.values):
        try:
            kind, array = _column(column, k, kinds)
        except (ValueError, TypeError) as error:
            label = columns.labels[k] if columns.labels else f"column {k}"
            strange.append(f"{label}: {error}")
        else:
            (numbers if kind == "number" else apart)[k] = array
    if strange:
        raise NotArchivable(
            f"the input {name!r} has columns that can't be stored: {'; '.join(strange[:20])}", advice=_ADVICE
        )
    table = Table(_features(columns))
    if not apart:
        return Inputs({name: _side_by_side(numbers)}, original=original, table=table)
    arrays = {f"{name}.numbers": _side_by_side(numbers)} if numbers else {}
    arrays |= {f"{name}.{k}": array for k, array in apart.items()}
    layout: dict[str, Json] = {"numbers": [*numbers], "apart": [*apart]}
    return LaidOut(arrays, original=original, table=table, layout=layout)


class LaidOut(Inputs):
    """Inputs whose columns are of several kinds: `layout` says which array holds which."""

    def __init__(
        self,
        arrays: Mapping[str, Array],
        *,
        original: object,
        table: Table,
        layout: Mapping[str, Json],
    ) -> None:
        super().__init__(arrays, original=original, table=table)
        self.layout = layout


def _features(columns: Columns) -> tuple[Mapping[str, Json], ...]:
    features: list[Mapping[str, Json]] = []
    for k, label in enumerate(columns.labels):
        feature: dict[str, Json] = {"name": label}
        if columns.types:
            feature["type"] = columns.types[k]
        if k in columns.categories:
            feature["categories"] = [plain(category) for category in columns.categories[k]]
        features.append(feature)
    return tuple(features)


def _column(column: Any, place: int, kinds: Kinds) -> tuple[str, Array]:
    if kinds.known:
        if place in kinds.words:
            return "word", _words(column)
        if place in kinds.vectors:
            return "vector", np.stack([np.asarray(value, np.float32) for value in column])
        return "number", _numbers(column)
    try:
        return "number", _numbers(column)
    except (ValueError, TypeError):
        return "word", _words(column)


def _words(column: Any) -> Array:
    """Spell a column's values as CatBoost does. Raises ValueError."""
    words = [_word(value) for value in np.asarray(column, object).tolist()]
    array = np.array(words)
    if array.tolist() != words:
        raise ValueError("a string ends in NUL, which a fixed-width array can't hold")
    return array


def _word(value: object) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    if isinstance(value, int):  # True is 1 to CatBoost
        return str(int(value))
    raise ValueError(f"{value!r} is neither a string nor a whole number")


def _numbers(column: Any) -> Array:
    """Give a column's numbers, NaN for what is missing. Raises ValueError and TypeError."""
    if hasattr(column, "sparse"):
        column = column.sparse.to_dense()
    stored = getattr(column, "dtype", None)
    if isinstance(stored, np.dtype) and stored.kind in "fiub":
        return np.asarray(column)
    if hasattr(column, "cat"):
        raise TypeError("categories, which are no numbers to the model")
    if stored is not None and not isinstance(stored, np.dtype) and hasattr(column, "to_numpy"):
        wide = np.result_type(getattr(stored, "numpy_dtype", np.dtype(object)), np.float32)
        if wide.kind == "f":  # pandas' nullable columns, and those kept by pyarrow
            return np.asarray(column.to_numpy(dtype=wide, na_value=np.nan))
    values = [np.nan if value is None else value for value in np.asarray(column, object).tolist()]
    if strange := [value for value in values if not isinstance(value, (int, float, np.number, np.bool_))]:
        raise ValueError(f"{str(strange[0])[:40]!r} is no number")
    return np.asarray(values, np.float64)


def _side_by_side(numbers: Mapping[int, Array]) -> Array:
    dtype = np.result_type(np.float32, *(array.dtype for array in numbers.values()))
    return np.column_stack([array.astype(dtype) for array in numbers.values()])
