"""What XGBoost and LightGBM share: one table in, and hyper-parameters that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, json_values
from timeproof.strictjson import Json


def one_table(inputs: Mapping[str, Array], framework: str) -> Array:
    """Give the one input, numbers `[rows, columns]`. Raises NotArchivable for anything else.

    Args:
        framework: as a sentence names it, article included: "a LightGBM".
    """
    if len(inputs) != 1:
        raise NotArchivable(
            f"{framework} model takes one table, not {len(inputs)} inputs",
            advice="give one array [rows, columns]",
        )
    (table,) = inputs.values()
    if table.ndim != 2 or table.dtype.kind not in "fiub":
        raise NotArchivable(
            f"{framework} model takes a table of numbers, not {table.dtype} of shape {list(table.shape)}",
            advice="give one array [rows, columns] of numbers",
        )
    return table


def hyper_parameters(given: Mapping[str, object], notes: list[str]) -> dict[str, Json]:
    """Give the parameters as JSON values; what has none is left out, with a note."""
    found: dict[str, Json] = {}
    for name, value in sorted(given.items()):
        if isinstance(value, (float, np.floating)) and not math.isfinite(value):
            found[name] = None
            if not math.isnan(value) or name != "missing":  # XGBoost's own default, on every wrapper
                notes.append(f"the parameter {name!r} is stored as null: it was {value}")
            continue
        try:
            found[name] = json_values(value, f"the parameter {name!r}", notes)
        except NotArchivable:
            notes.append(
                f"the parameter {name!r} is not stored: it is a {type(value).__qualname__}; "
                "predictions do not need it"
            )
    return found
