"""What a model's answer is called: its target, completed by Targets, and its OutputFields."""

from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy

from timeproof_probe.file_checks import Refused

from .columns import Column, number
from .elements import Element
from .expressions import evaluate, expression_of
from .predictions import Prediction, rounded
from .scope import Scope

FEATURES = frozenset(
    {"predictedValue", "probability", "transformedValue", "decision", "predictedDisplayValue"}
)
_DEFAULT = "predictedValue"


def output_fields(model: Element) -> List[Element]:
    return model.below("Output", "OutputField")


def is_evaluated(field: Element) -> bool:
    """Whether an OutputField is of a kind that is evaluated."""
    return field.get("feature", _DEFAULT) in FEATURES and not field.get("segmentId")


def adjusted(model: Element, prediction: Prediction) -> Prediction:
    """Do what Targets says: bounds, scale and constant, whole numbers. Raises Refused."""
    targets = model.below("Targets", "Target")
    if not targets or prediction.numbers is None:
        return prediction
    if len(targets) > 1:
        raise Refused("a model has several targets, which is not evaluated")
    (target,), values, single = targets, prediction.numbers, prediction.single
    if "min" in target.attributes:
        values = numpy.maximum(values, number(target.need("min")))
    if "max" in target.attributes:
        values = numpy.minimum(values, number(target.need("max")))
    values = rounded(values * number(target.get("rescaleFactor", "1")), single)
    values = rounded(values + number(target.get("rescaleConstant", "0")), single)
    cast = target.get("castInteger")
    if cast:
        functions: Dict[str, Callable[[Any], Any]] = {
            "round": lambda v: numpy.floor(v + 0.5),
            "floor": numpy.floor,
            "ceiling": numpy.ceil,
        }
        if cast not in functions:
            raise Refused("castInteger={!r} is not evaluated".format(cast))
        values = functions[cast](values)
    for value in target.all("TargetValue"):
        if "defaultValue" in value.attributes:
            values = numpy.where(prediction.missing, number(value.need("defaultValue")), values)
    return Prediction(numpy.isnan(values), numbers=values, single=single)


def named(
    model: Element, prediction: Prediction, scope: Scope, target: Optional[str]
) -> List[Tuple[str, Column]]:
    """Compute a model's OutputFields, and put each into the scope. Raises Refused."""
    results: List[Tuple[str, Column]] = []
    for field in output_fields(model):
        if not is_evaluated(field):
            continue
        name = field.need("name")
        column = _output(field, prediction, scope, target, dict(results))
        scope.set(name, column)
        results.append((name, column))
    return results


def _output(
    field: Element, prediction: Prediction, scope: Scope, target: Optional[str], earlier: Dict[str, Column]
) -> Column:
    feature, kind = field.get("feature", _DEFAULT), field.get("dataType")
    if feature in ("predictedValue", "predictedDisplayValue"):
        return prediction.column("").cast(kind)
    if feature == "probability":
        return _probability(field, prediction).cast(kind)

    def lookup(name: str) -> Column:
        if name in earlier:
            return earlier[name]
        if name == target and name not in scope:
            return prediction.column("")
        return scope.column(name)

    return evaluate(expression_of(field), lookup, scope.rows).cast(kind)


def _probability(field: Element, prediction: Prediction) -> Column:
    shares = prediction.probabilities
    if shares is None:
        raise Refused(
            "the output {!r} asks for a probability, and the model has none".format(field.need("name"))
        )
    if "value" in field.attributes:
        wanted = field.need("value")
        same = [share for name, share in shares.items() if name == wanted or _same_number(name, wanted)]
        values = same[0] if same else numpy.zeros(len(prediction.missing))
    else:
        values = numpy.zeros(len(prediction.missing))
        for name, share in shares.items():
            values = numpy.where(prediction.labels == name, share, values)
    values = numpy.where(prediction.missing, numpy.nan, values)
    return Column(values, prediction.missing, "double")


def _same_number(name: str, wanted: str) -> bool:
    """Whether two spellings name one class, such as 1 and 1.0."""
    try:
        return float(name) == float(wanted)
    except ValueError:
        return False


def array_of(column: Column) -> Any:
    """Give a column as the array that is compared: whole numbers where none is missing."""
    if column.is_text:
        return column.values
    if column.type == "float":
        with numpy.errstate(all="ignore"):
            return column.values.astype(numpy.float32)
    if column.type in ("integer", "boolean") and not column.missing.any():
        whole = numpy.abs(column.values) < 2.0**63
        if whole.all() and (numpy.floor(column.values) == column.values).all():
            return column.values.astype(bool if column.type == "boolean" else numpy.int64)
    return numpy.where(column.missing, numpy.nan, column.values)
