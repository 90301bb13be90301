"""What a LightGBM model says of itself: in the text that it is saved as, which is read and never loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.base.limits import LIMITS
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.foreign_files import Foreign
from timeproof.frameworks.trees.meanings import Meaning, classes_of

_LINE = 1 << 16  # bytes
_CATEGORIES = b"pandas_categorical:"
_FEATURES = re.compile(rb"^feature_names=(.*)$", re.MULTILINE)
_DUMP = re.compile(rb'\{\s*"name"\s*:\s*"tree"')
_TAIL = 64 << 20  # bytes at a file's end that may hold the categories


@dataclass(frozen=True, slots=True)
class Facts:
    """`objective`: its name, empty where it is the user's own function; `linear`: whether its trees are."""

    objective: str
    linear: bool


def sniff(file: ModelFile) -> bool | Foreign:
    """Say whether it is a model as text, or what dump_model wrote."""
    if _DUMP.match(file.text):
        return Foreign(
            "what LightGBM's dump_model wrote, which nothing can load back",
            "archive the text that Booster.save_model writes",
        )
    return file.text.startswith(b"tree") and file.text[4:].lstrip().startswith(b"version=")


def feature_names(path: Path) -> tuple[str, ...]:
    """Read the model's features from its text; none where it names none."""
    with path.open("rb") as stream:
        match = _FEATURES.search(stream.read(LIMITS.import_bytes))
    try:
        return tuple(match[1].decode().split()) if match else ()
    except ValueError:  # names that are no text
        return ()


def facts_of(path: Path) -> Facts:
    """Read a model file's facts. Raises OSError."""
    objective, linear = "", False
    for line in _lines(path):
        if not objective and line.startswith(b"objective="):
            objective = line[10:].split()[0].decode(errors="replace") if line[10:].split() else ""
        linear = linear or line.strip() == b"is_linear=1"
    return Facts(objective, linear)


def categories_of(path: Path) -> list[list[Any]] | None:
    """Read the categories of the table that a model was trained with: the last line of its file."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _TAIL))
        before, mark, text = stream.read().rpartition(_CATEGORIES)
    if not mark or not before.endswith(b"\n"):
        return None
    try:
        categories = json.loads(text)
    except ValueError:
        return None
    if not isinstance(categories, list) or not all(isinstance(column, list) for column in categories):
        return None
    return categories


def meaning_of(model: Any, booster: Any, objective: str, *, two_columns: bool) -> Meaning:
    """Say what the outputs mean: those of a wrapper's `predict_proba` or `predict`, and the raw scores."""
    meaning, count = Meaning(), int(booster.num_model_per_iteration())
    multiclass = objective.startswith("multiclass")
    if hasattr(model, "predict_proba"):
        meaning.classes = classes_of(model)
        if two_columns or (count > 1 and objective):
            meaning.add_columns("predict_proba", "probability of", meaning.classes, scores=True)
        elif count > 1:
            meaning.add_columns("predict_proba", "raw score of", meaning.classes, scores=True)
        else:
            meaning.add_single("predict_proba", f"raw score of {meaning.classes[-1]}")
    elif multiclass:
        meaning.classes = list(range(count))
        meaning.add_columns("predict", "probability of", meaning.classes, scores=True)
    elif count == 1:
        meaning.add_single("predict", _word(objective))
    if meaning.classes and count > 1:
        meaning.add_columns("raw_score", "raw score of", meaning.classes, scores=True)
    elif count == 1:
        of_class = f"raw score of {meaning.classes[-1]}" if meaning.classes else "raw score"
        meaning.add_single("raw_score", of_class)
    return meaning


def _word(objective: str) -> str:
    if objective in {"binary", "cross_entropy"}:
        return "probability of 1"
    return "rank score" if objective in {"lambdarank", "rank_xendcg"} else "value"


def _lines(path: Path) -> Iterator[bytes]:
    """Give the file's lines, each cut where it grows long."""
    with path.open("rb") as stream:
        while line := stream.readline(_LINE):
            yield line
