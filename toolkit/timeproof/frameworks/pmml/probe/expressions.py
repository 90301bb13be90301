"""PMML's expressions, over many rows at once: what a DerivedField or a transformed output computes."""

from typing import Any, Callable, Dict, List

import numpy

from timeproof_probe.file_checks import Refused

from .columns import Column, absent, constant, full, number
from .elements import Element
from .predicates import Lookup

EXPRESSIONS = frozenset(
    {"Constant", "FieldRef", "NormContinuous", "NormDiscrete", "Discretize", "MapValues", "Apply"}
)
_DEPTH = 64  # expressions within one another


def expression_of(element: Element) -> Element:
    """Give the expression that an element holds. Raises Refused."""
    for child in element.children:
        if child.tag in EXPRESSIONS:
            return child
    names = ", ".join(child.tag for child in element.children) or "nothing"
    raise Refused("a {} is computed by {}, which is not evaluated".format(element.tag, names))


def evaluate(element: Element, lookup: Lookup, rows: int, depth: int = 0) -> Column:
    """Evaluate an expression. Raises Refused."""
    if depth > _DEPTH:
        raise Refused("expressions are nested more than {} deep".format(_DEPTH))
    if element.tag == "Constant":
        kind = element.get("dataType") or ("double" if _is_number(element.text) else "string")
        return full(constant(element.text, kind), rows, kind)
    if element.tag == "FieldRef":
        return _replaced(lookup(element.need("field")), element.attributes.get("mapMissingTo"))
    if element.tag == "NormContinuous":
        return _norm_continuous(element, lookup)
    if element.tag == "NormDiscrete":
        return _norm_discrete(element, lookup)
    if element.tag == "Discretize":
        return _discretize(element, lookup, rows)
    if element.tag == "MapValues":
        return _map_values(element, lookup, rows)
    return _apply(element, lookup, rows, depth)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _replaced(column: Column, text: Any) -> Column:
    """Put a value where one is missing."""
    if text is None or not column.missing.any():
        return column
    value = constant(text, column.type)
    values = numpy.where(
        column.missing, numpy.array(value, dtype=None if column.is_text else float), column.values
    )
    return Column(values, numpy.zeros(len(values), bool), column.type)


def _norm_continuous(element: Element, lookup: Lookup) -> Column:
    column = lookup(element.need("field"))
    points = [(number(p.need("orig")), number(p.need("norm"))) for p in element.all("LinearNorm")]
    if len(points) < 2 or any(points[k][0] >= points[k + 1][0] for k in range(len(points) - 1)):
        raise Refused("a NormContinuous needs two points or more, in their order")
    values = column.values
    places = numpy.clip(numpy.searchsorted([p[0] for p in points], values), 1, len(points) - 1)
    lower = numpy.array(points)[places - 1]
    upper = numpy.array(points)[places]
    with numpy.errstate(all="ignore"):
        slope = (upper[:, 1] - lower[:, 1]) / (upper[:, 0] - lower[:, 0])
        result = lower[:, 1] + (values - lower[:, 0]) * slope
    missing = column.missing
    low, high = values < points[0][0], values > points[-1][0]
    outliers = element.get("outliers", "asIs")
    if outliers == "asExtremeValues":
        result = numpy.where(low, points[0][1], numpy.where(high, points[-1][1], result))
    elif outliers == "asMissingValues":
        missing = missing | low | high
    elif outliers != "asIs":
        raise Refused("outliers={!r} of a NormContinuous is not evaluated".format(outliers))
    return _replaced(Column(result, missing, "double"), element.attributes.get("mapMissingTo"))


def _norm_discrete(element: Element, lookup: Lookup) -> Column:
    column = lookup(element.need("field"))
    same = column.values == constant(element.need("value"), column.type)
    result = Column(numpy.where(same, 1.0, 0.0), column.missing, "double")
    return _replaced(result, element.attributes.get("mapMissingTo"))


def inside(interval: Element, values: Any) -> Any:
    """Say which numbers lie in an Interval. Raises Refused."""
    closure = interval.get("closure", "closedClosed")
    sides = {"open": (numpy.greater, numpy.less), "closed": (numpy.greater_equal, numpy.less_equal)}
    left_side = "closed" if closure.startswith("closed") else "open"
    right_side = "closed" if closure.endswith("Closed") else "open"
    result = ~numpy.isnan(values)
    if "leftMargin" in interval.attributes:
        result &= sides[left_side][0](values, number(interval.need("leftMargin")))
    if "rightMargin" in interval.attributes:
        result &= sides[right_side][1](values, number(interval.need("rightMargin")))
    return result


def _discretize(element: Element, lookup: Lookup, rows: int) -> Column:
    column, kind = lookup(element.need("field")), element.get("dataType") or "string"
    remaining, parts = ~column.missing, []
    for entry in element.all("DiscretizeBin"):
        interval = entry.first("Interval")
        if interval is None:
            raise Refused("a DiscretizeBin has no Interval")
        chosen = inside(interval, column.values) & remaining
        parts.append((chosen, entry.need("binValue")))
        remaining = remaining & ~chosen
    return _assembled(parts, remaining, column.missing, element, kind, rows)


def _map_values(element: Element, lookup: Lookup, rows: int) -> Column:
    pairs = [(p.need("column"), lookup(p.need("field"))) for p in element.all("FieldColumnPair")]
    table = element.first("InlineTable")
    if table is None:
        raise Refused("a MapValues has no InlineTable; a table in another file is not read")
    output, kind = element.need("outputColumn"), element.get("dataType") or "string"
    missing = numpy.zeros(rows, bool)
    for _, column in pairs:
        missing = missing | column.missing
    remaining, parts = ~missing, []
    for row in table.all("row"):
        cells = {child.tag: child.text for child in row.children}
        chosen = remaining
        for name, column in pairs:
            chosen = chosen & (column.values == constant(cells.get(name, ""), column.type))
        parts.append((chosen, cells.get(output, "")))
        remaining = remaining & ~chosen
    return _assembled(parts, remaining, missing, element, kind, rows)


def _assembled(parts: List[Any], rest: Any, missing: Any, element: Element, kind: str, rows: int) -> Column:
    parts = [*parts]
    if "defaultValue" in element.attributes:
        parts.append((rest, element.need("defaultValue")))
    if "mapMissingTo" in element.attributes:
        parts.append((missing, element.need("mapMissingTo")))
    assigned = numpy.zeros(rows, bool)
    values = numpy.full(rows, numpy.nan)
    if kind == "string":
        width = max([1] + [len(text) for _, text in parts])
        values = numpy.full(rows, "", dtype="U{}".format(width))
    for chosen, text in parts:
        values[chosen] = constant(text, kind)
        assigned = assigned | chosen
    return Column(values, ~assigned, kind)


def _logical(values: List[Any], function: Callable[..., Any]) -> Any:
    result = values[0] != 0
    for value in values[1:]:
        result = function(result, value != 0)
    return result.astype(float)


def _rounded(value: Any) -> Any:
    return numpy.floor(value + 0.5)


_NUMERIC: Dict[str, Callable[[List[Any]], Any]] = {
    "+": lambda v: v[0] + v[1],
    "-": lambda v: v[0] - v[1] if len(v) > 1 else -v[0],
    "*": lambda v: v[0] * v[1],
    "/": lambda v: v[0] / v[1],
    "pow": lambda v: numpy.power(v[0], v[1]),
    "threshold": lambda v: (v[0] > v[1]).astype(float),
    "exp": lambda v: numpy.exp(v[0]),
    "expm1": lambda v: numpy.expm1(v[0]),
    "ln": lambda v: numpy.log(v[0]),
    "ln1p": lambda v: numpy.log1p(v[0]),
    "log10": lambda v: numpy.log10(v[0]),
    "sqrt": lambda v: numpy.sqrt(v[0]),
    "abs": lambda v: numpy.abs(v[0]),
    "floor": lambda v: numpy.floor(v[0]),
    "ceil": lambda v: numpy.ceil(v[0]),
    "round": lambda v: _rounded(v[0]),
    "and": lambda v: _logical(v, numpy.logical_and),
    "or": lambda v: _logical(v, numpy.logical_or),
    "not": lambda v: (v[0] == 0).astype(float),
}
_COMPARING = {
    "equal": numpy.equal,
    "notEqual": numpy.not_equal,
    "lessThan": numpy.less,
    "lessOrEqual": numpy.less_equal,
    "greaterThan": numpy.greater,
    "greaterOrEqual": numpy.greater_equal,
}
_GATHERING = {"min": numpy.fmin, "max": numpy.fmax, "sum": numpy.add}
_ARITY = {"+": 2, "*": 2, "/": 2, "pow": 2, "threshold": 2}


def _apply(element: Element, lookup: Lookup, rows: int, depth: int) -> Column:
    name = element.need("function")
    parts = [evaluate(c, lookup, rows, depth + 1) for c in element.children if c.tag in EXPRESSIONS]
    result = _call(name, parts, rows)
    return _replaced(result, element.attributes.get("mapMissingTo")) if name != "if" else result


def _call(name: str, parts: List[Column], rows: int) -> Column:
    if len(parts) < _ARITY.get(name, 1):
        raise Refused("the function {!r} has too few arguments".format(name))
    if name in ("isMissing", "isNotMissing"):
        return Column(
            (parts[0].missing == (name == "isMissing")).astype(float), numpy.zeros(rows, bool), "boolean"
        )
    if name == "if":
        return _choose(parts, rows)
    if name in ("isIn", "isNotIn"):
        inside_set = numpy.zeros(rows, bool)
        for part in parts[1:]:
            inside_set = inside_set | (parts[0].values == part.values)
        return Column((inside_set == (name == "isIn")).astype(float), parts[0].missing, "boolean")
    missing = numpy.zeros(rows, bool)
    for part in parts:
        missing = missing | part.missing
    if name in _COMPARING and len(parts) == 2:
        if parts[0].is_text != parts[1].is_text:
            raise Refused("the function {!r} compares text with a number".format(name))
        return Column(_COMPARING[name](parts[0].values, parts[1].values).astype(float), missing, "boolean")
    if any(part.is_text for part in parts):
        raise Refused("the function {!r} over text is not evaluated".format(name))
    values = [part.values for part in parts]
    with numpy.errstate(all="ignore"):
        if name in _GATHERING or name == "avg":
            present = [
                numpy.where(p.missing, 0.0 if name in ("sum", "avg") else numpy.nan, p.values) for p in parts
            ]
            total = present[0]
            for value in present[1:]:
                total = _GATHERING.get(name, numpy.add)(total, value)
            count = sum((~part.missing).astype(int) for part in parts)
            return Column(total / count if name == "avg" else total, count == 0, "double")
        if name not in _NUMERIC:
            raise Refused("the function {!r} is not evaluated".format(name))
        result = _NUMERIC[name](values)
    return Column(result, missing, "boolean" if name in ("and", "or", "not") else "double")


def _choose(parts: List[Column], rows: int) -> Column:
    condition, then = parts[0], parts[1] if len(parts) > 1 else None
    if then is None:
        raise Refused("the function 'if' has too few arguments")
    other = parts[2] if len(parts) > 2 else absent(rows, then.type)
    if then.is_text != other.is_text:
        raise Refused("the function 'if' gives text or a number")
    true = (condition.values != 0) & ~condition.missing
    values = numpy.where(true, then.values, other.values)
    missing = numpy.where(true, then.missing, other.missing) | condition.missing
    return Column(values, missing, then.type)
