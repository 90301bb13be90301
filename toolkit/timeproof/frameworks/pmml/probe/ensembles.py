"""PMML's MiningModel: segments, and how their answers become the ensemble's."""

from typing import Any, Callable, Dict, List, Tuple

import numpy

from timeproof_probe.file_checks import Refused

from .columns import number
from .elements import Element
from .predicates import PREDICATES, predicate_of
from .predictions import Prediction, is_single, most_probable, rounded
from .scope import Scope

# A model within the scope of its ensemble → its prediction; its outputs go into that scope.
Evaluate = Callable[[Element, Scope], Prediction]
_METHODS = frozenset(
    {
        *("sum", "weightedSum", "average", "weightedAverage", "median", "max"),
        *("majorityVote", "weightedMajorityVote", "modelChain", "selectFirst"),
    }
)


def evaluate_ensemble(model: Element, scope: Scope, evaluate: Evaluate) -> Prediction:
    """Evaluate a MiningModel. Raises Refused."""
    segmentation = model.first("Segmentation")
    if segmentation is None:
        raise Refused("a MiningModel has no Segmentation")
    method = segmentation.need("multipleModelMethod")
    if method not in _METHODS:
        raise Refused("multipleModelMethod={!r} is not evaluated".format(method))
    segments = list(segmentation.all("Segment"))
    if not segments:
        raise Refused("a Segmentation has no Segment")
    if method in ("modelChain", "selectFirst"):
        return _one_by_one(segments, scope, evaluate, first=method == "selectFirst")
    parts: List[Tuple[Prediction, Any, float]] = []
    for segment in segments:
        chosen = _rows_of(segment, scope)
        parts.append((evaluate(_model_of(segment), scope), chosen, number(segment.get("weight", "1"))))
    treatment = segmentation.get("missingPredictionTreatment", "continue")
    if treatment not in ("continue", "skipSegment", "returnMissing"):
        raise Refused("missingPredictionTreatment={!r} is not evaluated".format(treatment))
    if treatment == "skipSegment":
        parts = [(p, chosen & ~p.missing, weight) for p, chosen, weight in parts]
    single = is_single(model)
    if model.get("functionName") == "classification":
        if method in ("majorityVote", "weightedMajorityVote"):
            return _votes(parts, scope.rows, weighted=method == "weightedMajorityVote")
        return _mean_probabilities(parts, scope.rows, method, single)
    return _numbers(parts, scope.rows, method, single)


def _model_of(segment: Element) -> Element:
    for child in segment.children:
        if child.tag not in PREDICATES and child.tag not in ("VariableWeight",):
            return child
    raise Refused("a Segment holds no model")


def _rows_of(segment: Element, scope: Scope) -> Any:
    """Say which rows a Segment is for."""
    if segment.first("VariableWeight") is not None:
        raise Refused("a Segment has a VariableWeight, which is not evaluated")
    return predicate_of(segment, scope.column)(numpy.arange(scope.rows))[0]


def _one_by_one(segments: List[Element], scope: Scope, evaluate: Evaluate, first: bool) -> Prediction:
    """A chain's answer is its last segment's; a selection's, that of the first one that is for the row."""
    open_rows, parts = numpy.ones(scope.rows, bool), []
    for segment in segments:
        chosen = _rows_of(segment, scope)
        parts.append((evaluate(_model_of(segment), scope), chosen & open_rows))
        if first:
            open_rows = open_rows & ~chosen
    if not first:
        prediction, chosen = parts[-1]
        if not chosen.all():
            raise Refused("the last Segment of a chain is not for every row, which is not evaluated")
        return prediction
    return _merged(parts, scope.rows)


def _merged(parts: List[Tuple[Prediction, Any]], rows: int) -> Prediction:
    missing = numpy.ones(rows, bool)
    numbers, labels = numpy.full(rows, numpy.nan), numpy.full(rows, "", dtype="U1")
    probabilities: Dict[str, Any] = {}
    text = parts[0][0].labels is not None
    for prediction, chosen in parts:
        if (prediction.labels is not None) is not text:
            raise Refused("the Segments give numbers and classes")
        missing = numpy.where(chosen, prediction.missing, missing)
        if text:
            labels = numpy.where(chosen, prediction.labels, labels)
            for name, share in (prediction.probabilities or {}).items():
                before = probabilities.get(name, numpy.zeros(rows))
                probabilities[name] = numpy.where(chosen, share, before)
        else:
            numbers = numpy.where(chosen, prediction.numbers, numbers)
    if text:
        return Prediction(missing, labels=labels, probabilities=probabilities or None)
    return Prediction(missing, numbers=numbers)


def _numbers(parts: List[Tuple[Prediction, Any, float]], rows: int, method: str, single: bool) -> Prediction:
    if any(prediction.numbers is None for prediction, _, _ in parts):
        raise Refused("{} over classes is not evaluated where numbers are predicted".format(method))
    if method in ("majorityVote", "weightedMajorityVote"):
        raise Refused("{} over numbers is not evaluated".format(method))
    if method in ("median", "max"):
        table = numpy.array([numpy.where(chosen, p.numbers, numpy.nan) for p, chosen, _ in parts])
        with numpy.errstate(all="ignore"):
            result = numpy.median(table, axis=0) if method == "median" else numpy.fmax.reduce(table, axis=0)
        return Prediction(numpy.isnan(result), numbers=result, single=single)
    total, weights = numpy.zeros(rows), numpy.zeros(rows)
    for prediction, chosen, weight in parts:
        factor = weight if method.startswith("weighted") else 1.0
        value = prediction.numbers if factor == 1.0 else prediction.numbers * factor
        total = rounded(total + numpy.where(chosen, value, 0.0), single)
        weights = weights + numpy.where(chosen, factor, 0.0)
    if method in ("average", "weightedAverage"):
        with numpy.errstate(all="ignore"):
            total = rounded(total / weights, single)
    total = numpy.where(_counted(parts, rows), total, numpy.nan)
    return Prediction(numpy.isnan(total), numbers=total, single=single)


def _counted(parts: List[Tuple[Prediction, Any, float]], rows: int) -> Any:
    """Say for which rows a Segment had an answer to give."""
    counted = numpy.zeros(rows, bool)
    for _, chosen, _ in parts:
        counted = counted | chosen
    return counted


def _votes(parts: List[Tuple[Prediction, Any, float]], rows: int, weighted: bool) -> Prediction:
    votes: Dict[str, Any] = {}
    total: Any = numpy.zeros(rows)
    for prediction, chosen, weight in parts:
        if prediction.labels is None:
            raise Refused("a vote over numbers is not evaluated")
        factor = weight if weighted else 1.0
        for name in prediction.probabilities or sorted(set(prediction.labels.tolist()) - {""}):
            votes.setdefault(name, numpy.zeros(rows))
        counted = chosen & ~prediction.missing
        for name in votes:
            votes[name] = votes[name] + numpy.where(counted & (prediction.labels == name), factor, 0.0)
        for name in sorted(set(prediction.labels[counted].tolist()) - set(votes)):
            votes[name] = numpy.where(counted & (prediction.labels == name), factor, 0.0)
        total = total + numpy.where(counted, factor, 0.0)
    with numpy.errstate(all="ignore"):
        shares = {name: votes[name] / total for name in votes}
    if not shares:
        raise Refused("no Segment gives a class")
    labels = most_probable(shares, rows)
    return Prediction(total == 0, labels=labels, probabilities=shares)


def _mean_probabilities(
    parts: List[Tuple[Prediction, Any, float]], rows: int, method: str, single: bool
) -> Prediction:
    if method not in ("average", "weightedAverage"):
        raise Refused("{} over probabilities is not evaluated".format(method))
    totals: Dict[str, Any] = {}
    weights, missing = numpy.zeros(rows), numpy.zeros(rows, bool)
    for prediction, chosen, weight in parts:
        if prediction.probabilities is None:
            raise Refused("a Segment gives no probabilities, and they are to be averaged")
        factor = weight if method == "weightedAverage" else 1.0
        for name, share in prediction.probabilities.items():
            value = share if factor == 1.0 else share * factor
            before = totals.get(name, numpy.zeros(rows))
            totals[name] = rounded(before + numpy.where(chosen, value, 0.0), single)
        weights = weights + numpy.where(chosen, factor, 0.0)
        missing = missing | (prediction.missing & chosen)
    with numpy.errstate(all="ignore"):
        shares = {name: rounded(total / weights, single) for name, total in totals.items()}
    missing = missing | (weights == 0)
    return Prediction(missing, labels=most_probable(shares, rows), probabilities=shares, single=single)
