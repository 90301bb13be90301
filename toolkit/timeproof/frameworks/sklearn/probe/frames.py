"""The table that a scikit-learn model takes, put together from the recorded arrays.

An artifact's option `form` says what they are: of a table with names (`frame`) the columns and their parts,
of an array of text (`objects`) whether some of it is missing. Without it there is one array, or the three of
a sparse matrix.
"""

import importlib
from typing import Any, Dict, List, Tuple

from timeproof_probe import tables
from timeproof_probe.file_checks import Refused

# What stands in the place of a missing value, by its code in the array `missing`.
PRESENT, NAN, NONE, NA = 0, 1, 2, 3

_NULLABLE = {"i": "IntegerArray", "u": "IntegerArray", "f": "FloatingArray", "b": "BooleanArray"}


def assembled(inputs: List[Tuple[str, Any]], options: Dict[str, Any]) -> Any:
    """Give the array, the sparse matrix or the DataFrame. Raises Refused."""
    form = options.get("form")
    if form is None:
        return tables.assembled(inputs, options, "a scikit-learn")
    arrays = [array for _, array in inputs]
    if form.get("kind") == "objects" and len(arrays) == 1 + bool(form.get("missing")):
        return _objects(arrays[0], arrays[1] if len(arrays) > 1 else None)
    if form.get("kind") != "frame":
        raise Refused("the recorded arrays make up no table that is known")
    return _frame(arrays, form)


def _objects(values: Any, codes: Any) -> Any:
    """An array of Python objects: text, and what stands where it is missing."""
    items = values.astype(object)
    if codes is not None:
        marks = {NAN: float("nan"), NONE: None}
        if (codes == NA).any():
            marks[NA] = _pandas().NA
        for code, mark in marks.items():
            items[codes == code] = mark
    return items


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise Refused("the model takes a table with names, and this environment holds no pandas")


def _frame(arrays: List[Any], form: Dict[str, Any]) -> Any:
    pandas = _pandas()
    labels = form["columns"]
    series: Dict[int, Any] = {}
    remaining = iter(arrays)
    try:
        for part in form["parts"]:
            values = next(remaining)
            codes = next(remaining) if part.get("missing") else None
            for k, place in enumerate(part["columns"]):
                gaps = None if codes is None else codes[:, k]
                series[place] = _series(pandas, values[:, k], gaps, part)
    except (StopIteration, IndexError, KeyError):
        raise Refused("the recorded arrays are not those of the recorded table")
    if sorted(series) != list(range(len(labels))):
        raise Refused("the recorded table lacks some of its columns")
    table = pandas.concat([series[place] for place in range(len(labels))], axis=1)
    table.columns = labels
    return table


def _series(pandas: Any, values: Any, codes: Any, part: Dict[str, Any]) -> Any:
    kind, dtype = part["kind"], part["dtype"]
    if kind == "category":
        categories = part["categories"]
        index = pandas.Index(categories, dtype=part.get("of") or None) if categories else categories
        return pandas.Series(pandas.Categorical.from_codes(values, index, ordered=bool(part.get("ordered"))))
    if kind == "nullable":
        array_type = getattr(pandas.arrays, _NULLABLE[values.dtype.kind])
        return pandas.Series(array_type(values, codes != PRESENT))
    if kind == "text":
        items = _objects(values, codes)
        if dtype == "str" and int(pandas.__version__.partition(".")[0]) < 3:
            dtype = "object"  # older ones have no type of their own for text
        return pandas.Series(items, dtype=dtype)
    return pandas.Series(values)
