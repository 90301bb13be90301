"""PMML's RegressionModel, over many rows at once: linear and logistic models, and the links of ensembles."""

from typing import Any, Callable, Dict, List

import numpy

from timeproof_probe.file_checks import Refused

from .columns import constant, number
from .elements import Element
from .predictions import Prediction, is_single, most_probable, rounded
from .scope import Scope


def _logit(values: Any) -> Any:
    return 1.0 / (1.0 + numpy.exp(-values))


_INVERSES: Dict[str, Callable[[Any], Any]] = {
    "none": lambda v: v,
    "logit": _logit,
    "exp": numpy.exp,
    "softmax": _logit,  # of a regression; that of several classes is below
    "cloglog": lambda v: 1.0 - numpy.exp(-numpy.exp(v)),
    "loglog": lambda v: numpy.exp(-numpy.exp(-v)),
    "cauchit": lambda v: 0.5 + numpy.arctan(v) / numpy.pi,
}


def evaluate_regression(model: Element, scope: Scope) -> Prediction:
    """Evaluate a RegressionModel. Raises Refused."""
    method, single = model.get("normalizationMethod", "none"), is_single(model)
    tables = list(model.all("RegressionTable"))
    if not tables:
        raise Refused("a RegressionModel has no RegressionTable")
    values = [rounded(_linear(table, scope), single) for table in tables]
    missing = numpy.zeros(scope.rows, bool)
    for value in values:
        missing = missing | numpy.isnan(value)
    with numpy.errstate(all="ignore"):
        if model.get("functionName") != "classification":
            if len(tables) != 1:
                raise Refused("a RegressionModel of numbers has {} tables".format(len(tables)))
            return Prediction(missing, numbers=rounded(_inverse(method)(values[0]), single), single=single)
        classes = [table.need("targetCategory") for table in tables]
        if len(set(classes)) != len(classes) or len(classes) < 2:
            raise Refused("a RegressionModel of classes needs a table for each of two classes or more")
        shares = [rounded(share, single) for share in _shares(method, values)]
    probabilities = dict(zip(classes, shares))  # noqa: B905 - Python 3.6
    labels = most_probable(probabilities, scope.rows)
    return Prediction(missing, labels=labels, probabilities=probabilities, single=single)


def _inverse(method: str) -> Callable[[Any], Any]:
    if method not in _INVERSES:
        raise Refused("normalizationMethod={!r} is not evaluated".format(method))
    return _INVERSES[method]


def _shares(method: str, values: List[Any]) -> List[Any]:
    """Give the probability of each class from its value."""
    if method == "softmax":
        table = numpy.array(values)
        powers = numpy.exp(table - table.max(axis=0))
        total = powers[0]
        for power in powers[1:]:
            total = total + power
        return list(powers / total)
    if method == "simplemax":
        table = numpy.array(values)
        return list(table / table.sum(axis=0))
    inverse = _inverse(method)
    if len(values) == 2:
        share = inverse(values[0])
        return [share, 1.0 - share]
    if method == "none":
        *first, _ = values
        return [*first, 1.0 - sum(first)]
    return [inverse(value) for value in values]


def _linear(table: Element, scope: Scope) -> Any:
    total = numpy.full(scope.rows, number(table.get("intercept", "0")))
    for term in table.children:
        if term.tag == "NumericPredictor":
            column = scope.column(term.need("name"))
            if column.is_text:
                raise Refused(
                    "the field {!r} holds text, and is a NumericPredictor".format(term.need("name"))
                )
            values = numpy.where(column.missing, numpy.nan, column.values)
            exponent = number(term.get("exponent", "1"))
            powers = values if exponent == 1 else numpy.power(values, exponent)
            total = total + number(term.need("coefficient")) * powers
        elif term.tag == "CategoricalPredictor":
            column = scope.column(term.need("name"))
            chosen = (column.values == constant(term.need("value"), column.type)) & ~column.missing
            total = total + numpy.where(chosen, number(term.need("coefficient")), 0.0)
        elif term.tag == "PredictorTerm":
            product = numpy.full(scope.rows, number(term.need("coefficient")))
            for reference in term.all("FieldRef"):
                column = scope.column(reference.need("field"))
                product = product * numpy.where(column.missing, numpy.nan, column.values)
            total = total + product
        else:
            raise Refused("a RegressionTable holds a {}, which is not evaluated".format(term.tag))
    return total
