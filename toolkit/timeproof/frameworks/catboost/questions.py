"""Reading what a CatBoost model is asked with: arrays, tables, sparse matrices, a Pool of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import comes_from
from timeproof.frameworks.catboost.columns import Columns, Kinds, as_inputs, of_frame, of_rows
from timeproof.frameworks.inputs import Inputs, Table
from timeproof.frameworks.trees.tables import as_pandas, is_frame, read_table, single_table

_ARTICLE = "a CatBoost"
_TABLE = "give the DataFrame or the array that it was made of"


def read_question(model: Any, original: object) -> Inputs:
    """Read the one table that a model, or the `Path` of a file, is asked with. Raises NotArchivable."""
    kinds = kinds_of(model)
    if isinstance(model, Path) and _names_columns(original):
        return as_inputs(_of_mapping(original), kinds, "input", original)
    name, table = single_table(original)
    if comes_from(table, "catboost", frozenset({"Pool"})):
        return _of_pool(table, name)
    if comes_from(table, "_catboost", frozenset({"FeaturesData"})):
        raise NotArchivable("FeaturesData can't be read back", advice=_TABLE)
    if is_frame(table):
        return as_inputs(of_frame(as_pandas(table, name)), kinds, name, table)
    rows = _rows_of_objects(table)
    if rows is not None:
        return as_inputs(of_rows(rows), kinds, name, table)
    return read_table(original, _ARTICLE, lambda _: {})


def kinds_of(model: Any) -> Kinds:
    """Ask a live model which of its features are not numbers; a file is not loaded here."""
    if isinstance(model, Path):
        return Kinds(known=False)
    words = [*_places(model, "cat"), *_places(model, "text")]
    return Kinds(frozenset(words), frozenset(_places(model, "embedding")))


def names_of(model: Any) -> list[str] | None:
    """The names of the features, unless they are the numbers that CatBoost makes up."""
    names = [str(name) for name in model.feature_names_]
    return None if names == [str(k) for k in range(len(names))] else names


def _places(model: Any, kind: str) -> list[int]:
    ask = getattr(model, f"_get_{kind}_feature_indices", list)  # old versions do not know all kinds
    return [int(place) for place in ask() or ()]


def _names_columns(original: object) -> bool:
    """Say whether it is a mapping from the names of columns to their values."""
    return isinstance(original, Mapping) and all(np.ndim(values) == 1 for values in original.values())


def _of_mapping(original: Any) -> Columns:
    sizes = {len(values) for values in original.values()}
    if len(sizes) != 1:
        raise NotArchivable(
            f"the columns have different lengths: {', '.join(map(str, sorted(sizes)))}",
            advice="give an array for each column, all of one length",
        )
    labels = [str(name) for name in original]
    return Columns(labels, [np.asarray(values) for values in original.values()])


def _rows_of_objects(table: object) -> Any:
    """Give the table as an array of Python objects where it is none of numbers; else None."""
    if isinstance(table, (list, tuple)) and table and all(isinstance(row, (list, tuple)) for row in table):
        if len({len(row) for row in table}) != 1 or not any(
            isinstance(value, (str, bytes)) for row in table for value in row
        ):
            return None
        return np.array([list(row) for row in table], dtype=object)
    if isinstance(table, np.ndarray) and table.dtype.kind in "OUS":
        return table
    return None


def _of_pool(pool: Any, name: str) -> Inputs:
    """Take a Pool of numbers apart. Raises NotArchivable for what a Pool does not give back."""
    for content, is_there in (
        ("categories, text or embeddings", _has_others(pool)),
        ("a baseline: raw values to begin with, which no input of the archive holds", _has_baseline(pool)),
        ("quantized numbers", bool(getattr(pool, "is_quantized", bool)())),
    ):
        if is_there:
            raise NotArchivable(f"the Pool has {content}, and does not give its values back", advice=_TABLE)
    names = [str(label) for label in pool.get_feature_names()]
    features: list[Mapping[str, Json]] = [{"name": label} for label in names] if any(names) else []
    values = np.array(pool.get_features(), order="C")
    return Inputs({name: values}, original=pool, table=Table(tuple(features)))


def _has_others(pool: Any) -> bool:
    kinds = ("cat", "text", "embedding")
    return any(len(getattr(pool, f"get_{kind}_feature_indices", list)() or ()) for kind in kinds)


def _has_baseline(pool: Any) -> bool:
    return bool(np.size(pool.get_baseline()))
