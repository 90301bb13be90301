"""What a CatBoost model's outputs are, and what they mean."""

from __future__ import annotations

from typing import Any

from timeproof.frameworks.trees.meanings import Meaning, classes_of

_MULTI_LABEL = frozenset({"MultiLogloss", "MultiCrossEntropy"})
RAW = "raw_formula_val"


def outputs_of(model: Any) -> tuple[str, ...]:
    """Name the outputs: a classifier's probabilities and labels, else its values; and the raw values."""
    return ("predict_proba", "predict", RAW) if classifies(model) else ("predict", RAW)


def classifies(model: object) -> bool:
    return hasattr(model, "predict_proba")


def predict_type(model: Any) -> str:
    """Name the prediction_type that the object's own `predict` gives."""
    if classifies(model):
        return "Class"
    default = getattr(model, "_get_default_prediction_type", None)  # a regressor's, by its loss
    return str(default()) if default else "RawFormulaVal"


def meaning_of(model: Any) -> Meaning:
    """Say what the columns of each output mean, and which of them are class scores."""
    meaning = Meaning()
    loss = _loss_of(model)
    if classifies(model):
        meaning.classes = classes_of(model)
        many = loss in _MULTI_LABEL
        if len(meaning.classes) > 1:
            meaning.add_columns("predict_proba", "probability of", meaning.classes, scores=not many)
        if len(meaning.classes) > 2 or many:
            meaning.add_columns(RAW, "raw value of", meaning.classes, scores=not many)
        elif meaning.classes:
            meaning.add_single(RAW, f"raw value of {meaning.classes[-1]}")
        if not many:
            meaning.add_single("predict", "class")
        else:
            meaning.add_columns("predict", "whether", meaning.classes, scores=False)
        return meaning
    words = ("mean", "variance") if loss == "RMSEWithUncertainty" else ()
    for output in ("predict", RAW):
        if words:
            meaning.columns[output] = [*words]
        meaning.scores[output] = False  # several columns are targets or quantiles, never classes
    return meaning


def _loss_of(model: Any) -> str:
    """Name the loss function, without its parameters; empty where it is the user's own object."""
    loss = model.get_params().get("loss_function") or model.get_params().get("objective")
    return loss.partition(":")[0] if isinstance(loss, str) else ""
