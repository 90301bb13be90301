"""A DataFrame as a vector for each column, with missing values: for documents whose fields have names."""

from __future__ import annotations

from typing import Any

import numpy as np

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array
from timeproof.frameworks.inputs import Inputs, Table
from timeproof.frameworks.trees.tables import is_pandas


def columns_of_frame(frame: Any) -> Inputs:
    """Take a table with names apart: numbers as they are, all else as text; what is missing, as NaN or "".

    Raises NotArchivable where it is empty, or a column holds dates and the like.
    """
    table = frame if is_pandas(frame) else frame.to_pandas()
    if not len(table) or not len(table.columns):
        raise NotArchivable("the table is empty", advice="give at least one row and one column")
    arrays = {str(label): _column(table.iloc[:, k], str(label)) for k, label in enumerate(table.columns)}
    if len(arrays) != len(table.columns):
        raise NotArchivable("two columns of the table have one name", advice="give each a name of its own")
    return Inputs(arrays, original=arrays, table=Table())


def _column(series: Any, name: str) -> Array:
    values = np.asarray(series)
    if values.dtype.kind in "fiub":
        return np.ascontiguousarray(values)
    missing = np.asarray(series.isna())
    present = [value for value, gap in zip(values.tolist(), missing, strict=True) if not gap]
    if all(isinstance(value, (int, float)) for value in present) and present:
        return np.array(
            [np.nan if gap else float(value) for value, gap in zip(values.tolist(), missing, strict=True)]
        )
    if not all(isinstance(value, str) for value in present):
        raise NotArchivable(
            f"the column {name!r} holds {type(present[0]).__name__} values, which no field takes",
            advice="give numbers or text",
        )
    return np.array(
        ["" if gap else value for value, gap in zip(values.tolist(), missing, strict=True)], dtype="U"
    )
