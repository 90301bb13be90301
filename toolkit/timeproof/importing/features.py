"""The features that a file of trees names, read from its bytes, and compared with a table's columns.

The file is not loaded. No names are read from XGBoost's binary JSON, so no table is compared with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from timeproof.base.limits import LIMITS
from timeproof.base.strictjson import Json
from timeproof.frameworks.onnx.tensor_files import BadData

_LIGHTGBM = re.compile(rb"^feature_names=(.*)$", re.MULTILINE)
_XGBOOST = re.compile(rb'"feature_names"\s*:\s*(\[[^\]]*\])')
_NAMES = 6  # names that a message lists


def read_feature_names(path: Path, framework: str) -> tuple[str, ...]:
    """Read the names of the model's features, in order; none where the file has none."""
    with path.open("rb") as stream:
        data = stream.read(LIMITS.import_bytes)
    try:
        if framework == "lightgbm" and (line := _LIGHTGBM.search(data)):
            return tuple(line[1].decode().split())
        if framework == "xgboost" and (names := _XGBOOST.search(data)):
            return tuple(str(name) for name in json.loads(names[1]))
    except ValueError:  # a name that holds a bracket, or is not text
        pass
    return ()


def add_column_names(
    signature: Mapping[str, Json], columns: Sequence[str], names: Sequence[str]
) -> dict[str, Json]:
    """Add the names of a table's columns to a model's signature.

    Args:
        names: the model's own features.

    Raises:
        BadData: both name the same features in different orders: the model would read the wrong columns.
    """
    if columns and sorted(names) == sorted(columns) and list(names) != list(columns):
        raise BadData(
            f"the input's columns are {_list_names(columns)}; the model's features are {_list_names(names)},"
            " in another order: give the columns in the model's order"
        )
    features: list[Json] = [{"name": column} for column in columns]
    return {**signature, **({"features": features} if features and "features" not in signature else {})}


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
