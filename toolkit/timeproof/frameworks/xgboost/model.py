"""What an XGBoost model says of itself: its categories, its classes, how its wrapper predicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import comes_from
from timeproof.frameworks.inputs import Inputs, Table
from timeproof.frameworks.trees.meanings import Meaning, classes_of
from timeproof.frameworks.trees.tables import SPARSE_PARTS, is_frame


def column_name(label: object) -> str:
    """Spell a column's name as XGBoost does: the levels of a MultiIndex with blanks between them."""
    return " ".join(str(level) for level in label) if isinstance(label, tuple) else str(label)


def predicts_in_place(model: Any, original: object) -> bool:
    """Say whether the wrapper predicts in place; what it can't take so, it makes a DMatrix of."""
    if getattr(model, "booster", None) == "gblinear":
        return False
    if comes_from(original, "scipy.sparse"):
        return comes_from(original, "scipy.sparse", frozenset({"csr_matrix"}))
    return isinstance(original, (np.ndarray, list, tuple)) or is_frame(original)


def categories_of(booster: Any, columns: Sequence[int]) -> Mapping[int, list[Any]]:
    """Give the categories of `columns` that the model holds, in the order of their numbers.

    Models of XGBoost before 3.1 hold none: it takes the numbers that the table's own categories have.
    """
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"].get("model", {})
    encoded = model.get("cats", {}).get("enc", [])
    return {k: _decoded(encoded[k]) for k in columns if k < len(encoded) and encoded[k]["values"]}


def _decoded(encoded: Mapping[str, Any]) -> list[Any]:
    values = encoded["values"]
    if "offsets" not in encoded:
        return list(values)
    data, offsets = bytes(value & 0xFF for value in values), encoded["offsets"]
    return [data[a:b].decode() for a, b in pairwise(offsets)]


def of_matrix(matrix: Any) -> Inputs:
    """Take a DMatrix apart: its values, as a sparse matrix, and its names. Raises NotArchivable."""
    types, names = matrix.feature_types, matrix.feature_names
    if types and "c" in types:
        raise NotArchivable(
            "the DMatrix has categories, which it does not give back",
            advice="give the DataFrame that it was made of",
        )
    if matrix.get_base_margin().size:
        raise NotArchivable(
            "the DMatrix has a base_margin: a margin for each row, which no input of the archive holds",
            advice="archive the model with a table without one",
        )
    values = matrix.get_data()
    arrays = {f"input.{part}": np.array(getattr(values, part), order="C") for part in SPARSE_PARTS}
    shape: list[Json] = [int(size) for size in values.shape]
    features: list[Mapping[str, Json]] = [
        {"name": name, **({"type": types[k]} if types else {})} for k, name in enumerate(names or ())
    ]
    return Inputs(arrays, original=matrix, table=Table(tuple(features), {"format": "csr", "shape": shape}))


def meaning_of(model: Any, booster: Any) -> Meaning:
    """Say what the outputs mean: those of a wrapper's `predict_proba` or `predict`, and the margins."""
    learner = json.loads(booster.save_config())["learner"]
    sizes, objective = learner["learner_model_param"], str(learner["objective"]["name"])
    classes, targets = int(sizes.get("num_class", 0)), int(sizes.get("num_target", 1))
    meaning = Meaning()
    if hasattr(model, "predict_proba"):
        if targets > 1:
            meaning.add_columns("predict_proba", "probability of label", range(targets), scores=False)
        else:
            meaning.classes = classes_of(model, max(classes, 2))
            meaning.add_columns("predict_proba", "probability of", meaning.classes, scores=True)
    elif objective == "multi:softprob":
        meaning.add_columns("predict", "probability of", range(classes), scores=True)
    elif targets > 1:
        meaning.add_columns("predict", "target", range(targets), scores=False)
    else:
        meaning.add_single("predict", _word(objective))
    if classes > 1:
        meaning.classes = meaning.classes or classes_of(model, classes)
        meaning.add_columns("margin", "margin of", meaning.classes, scores=True)
    elif targets > 1:
        meaning.add_columns("margin", "margin of target", range(targets), scores=False)
    else:
        meaning.add_single(
            "margin", f"margin of {meaning.classes[1]}" if len(meaning.classes) == 2 else "margin"
        )
    return meaning


def _word(objective: str) -> str:
    if objective == "multi:softmax":
        return "class"
    if objective == "binary:logistic":
        return "probability of 1"
    return "rank score" if objective.startswith("rank:") else "value"
