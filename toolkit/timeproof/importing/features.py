"""The features that a file of trees names, read from its bytes, and a table's columns held against them.

The file is not loaded. Of XGBoost's binary JSON no names are read: nothing is held against such a file.
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
_SHOWN = 6  # names in a message


def named_features(path: Path, framework: str) -> tuple[str, ...]:
    """Name the model's features in their order; none where the file doesn't."""
    with path.open("rb") as stream:
        data = stream.read(LIMITS.import_bytes)
    try:
        if framework == "lightgbm" and (line := _LIGHTGBM.search(data)):
            return tuple(line[1].decode().split())
        if framework == "xgboost" and (listed := _XGBOOST.search(data)):
            return tuple(str(name) for name in json.loads(listed[1]))
    except ValueError:  # a name that holds a bracket, or is no text
        pass
    return ()


def described(signature: Mapping[str, Json], columns: Sequence[str], names: Sequence[str]) -> dict[str, Json]:
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
