"""The features that a file of trees names, and a table's columns held against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from timeproof.base.strictjson import Json
from timeproof.frameworks.imports import BadData

_SHOWN = 6  # names in a message


def add_columns(
    signature: Mapping[str, Json], columns: Sequence[str], names: Sequence[str]
) -> dict[str, Json]:
    """Add the names of a table's columns to what is known of a model.

    Args:
        names: the model's own features.

    Raises:
        BadData: both name the same features, in another order: the answers would be those of other columns.
    """
    if columns and sorted(names) == sorted(columns) and list(names) != list(columns):
        raise BadData(
            f"the input's columns are {_some(columns)}; the model's features are {_some(names)}, in another"
            " order: give the columns in the model's"
        )
    features: list[Json] = [{"name": column} for column in columns]
    return {**signature, **({"features": features} if features and "features" not in signature else {})}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
