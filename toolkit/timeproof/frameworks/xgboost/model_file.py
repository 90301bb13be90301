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


_UBJ_FEATURES = re.compile(rb"L\x00{7}\x0dfeature_names\[#L")


def feature_names(path: Path) -> tuple[str, ...]:
    """Read the model's features from its JSON or UBJSON; none where it names none."""
    with path.open("rb") as stream:
        data = stream.read(LIMITS.import_bytes)
    try:
        if match := _FEATURES.search(data):
            return tuple(str(name) for name in json.loads(match[1]))
        if match := _UBJ_FEATURES.search(data):
            return tuple(_ubj_strings(data, match.end()))
    except (ValueError, UnicodeDecodeError):  # a name that holds a bracket, or is no text
        pass
    return ()


def _ubj_strings(data: bytes, place: int) -> list[str]:
    """Read a counted array of strings, as XGBoost writes it: each length has 64 bits. Raises ValueError."""
    count, place = int.from_bytes(data[place : place + 8], "big"), place + 8
    names = []
    for _ in range(min(count, len(data))):
        if data[place : place + 2] != b"SL":
            raise ValueError("no string")
        begin = place + 10
        place = begin + int.from_bytes(data[place + 2 : begin], "big")
        names.append(data[begin:place].decode("utf-8"))
    return names


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
