"""What a scikit-learn model's inputs and outputs mean: features, classes, the columns of each output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import json_values
from timeproof.frameworks.sklearn.question import Question
from timeproof.frameworks.trees import meanings
from timeproof.frameworks.trees.meanings import Meaning, classes_of

_WORDS = {
    "predict_proba": "probability of",
    "predict_log_proba": "log probability of",
    "decision_function": "score of",
}


def meaning_of(model: Any, methods: Sequence[str]) -> Meaning:
    """Say what the outputs of `methods` mean; an answer for several targets is left to its shape."""
    meant = Meaning()
    classes = getattr(model, "classes_", None)
    if classes is None or getattr(classes, "ndim", 0) != 1:
        return meant
    meant.classes = classes_of(model)
    for method in methods:
        if method == "decision_function" and len(meant.classes) == 2:
            meant.add_single(method, f"score of {meant.classes[-1]}")
        elif method == "decision_function" and _pairs(model):
            meant.scores[method] = False  # a column for each two classes
        elif method in _WORDS:
            meant.add_columns(method, _WORDS[method], meant.classes, scores=True)
    return meant


def _pairs(model: Any) -> bool:
    last = getattr(model, "_final_estimator", model)
    return getattr(last, "decision_function_shape", None) == "ovo"


def features(model: Any, question: Question) -> Sequence[Mapping[str, Json]]:
    """The features: as the user's table has them, else as the model was trained with."""
    try:
        names = getattr(model, "feature_names_in_", None)
    except Exception:  # a property that a step does not have
        names = None
    return meanings.features_of(question, None if names is None else [str(name) for name in names])


def signature_of(question: Question) -> dict[str, Json]:
    return meanings.signature_of(question)


def parameters_of(model: Any) -> dict[str, Json]:
    """The hyper-parameters that JSON can hold, those of the steps included; all of them are in the file."""
    try:
        parameters = model.get_params(deep=True)
    except Exception:  # an estimator that breaks scikit-learn's rules
        return {}
    values: dict[str, Json] = {}
    for name, value in sorted(parameters.items()):
        try:
            values[str(name)] = json_values(value, str(name), [])
        except NotArchivable:
            continue
    return values
