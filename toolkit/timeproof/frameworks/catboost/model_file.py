"""What a CatBoost model file is, by its bytes: it is not loaded."""

from __future__ import annotations

import json
from pathlib import Path

from timeproof.frameworks.file_bytes import ModelFile

_BINARY = b"CBM1"
# The first name in CatBoost's JSON: with categories, their statistics come first.
_JSON = (b'"ctr_data"', b'"features_info"', b'"oblivious_trees"')


def sniff(file: ModelFile) -> bool:
    """Say whether it is a `.cbm`, or CatBoost's own JSON."""
    if file.head.startswith(_BINARY):
        return True
    return file.text.startswith(b"{") and any(file.text[1:].lstrip().startswith(name) for name in _JSON)


def format_of(path: Path) -> str:
    """Say which of CatBoost's two formats the file has. Raises OSError."""
    with path.open("rb") as stream:
        return "cbm" if stream.read(len(_BINARY)) == _BINARY else "json"


def feature_names(path: Path) -> tuple[str, ...]:
    """Name the model's features where the file is JSON that names them all; else none."""
    if format_of(path) != "json":
        return ()
    try:
        features = json.loads(path.read_bytes())["features_info"]
        places = {
            int(feature["flat_feature_index"]): str(feature["feature_id"])
            for kind in ("float_features", "categorical_features")
            for feature in features.get(kind, [])
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    names = [places[k] for k in sorted(places)]
    return tuple(names) if list(places) and sorted(places) == list(range(len(places))) else ()
