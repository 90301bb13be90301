"""What an XGBoost model file says of itself, by its bytes: it is not loaded."""

from __future__ import annotations

import json
import mmap
import os
import re
from pathlib import Path

from timeproof.base.limits import LIMITS
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.foreign_files import Foreign

# The attribute as JSON and as UBJSON spell it; the latter with the length of the string in between.
_BEST = re.compile(rb'"?best_iteration"?(?:\s*:\s*"|S[iUIlL][\x00-\xff]{1,8}?)(\d{1,9})')

# What the old binary format holds behind its parameters: objective and booster, each with its length.
_OBJECTIVE = re.compile(rb"[\x01-\x40]\x00{7}(?:reg|binary|multi|rank|count|survival):[a-z]")
_BOOSTER = re.compile(rb"(?:\x06\x00{7}gbtree|\x08\x00{7}gblinear|\x04\x00{7}dart)")
_BINARY = Foreign(
    "a model in XGBoost's old binary format, which XGBoost reads no more since 3.1",
    "load it with an XGBoost before 3.1 (xgboost.Booster(model_file=path)), save it as JSON"
    " (save_model('model.json')) and archive that file",
)


def sniff(file: ModelFile) -> bool | Foreign:
    """Say whether it is a model in JSON or UBJSON, or one in the old binary format."""
    if file.text.startswith(b"{"):
        if file.text[1:2] in b"LIlU" and b"learner" in file.text:
            return True  # UBJSON: the length of the first name follows the brace
        return b'"learner"' in file.text
    if file.is_zip:
        return False
    binary = _OBJECTIVE.search(file.head) and _BOOSTER.search(file.head)
    return _BINARY if binary or file.head.startswith((b"binf", b"bs64")) else False


_FEATURES = re.compile(rb'"feature_names"\s*:\s*(\[[^\]]*\])')


def feature_names(path: Path) -> tuple[str, ...]:
    """Read the model's features from its JSON; none where it names none, and none of a binary file."""
    with path.open("rb") as stream:
        match = _FEATURES.search(stream.read(LIMITS.import_bytes))
    try:
        return tuple(str(name) for name in json.loads(match[1])) if match else ()
    except ValueError:  # a name that holds a bracket, or is no text
        return ()


def best_iteration(path: Path) -> int | None:
    """Read where the training stopped from the file's bytes; it is not loaded."""
    with path.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return None
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            match = _BEST.search(data)
            return None if match is None else int(match[1])


def format_of(path: Path) -> str:
    """JSON and UBJSON both begin with a brace; a name's type byte follows in JSON alone as a quote."""
    with path.open("rb") as stream:
        head = stream.read(64).lstrip()
    return "json" if head[1:].lstrip().startswith(b'"') else "ubj"
