"""PMML's predicates, over many rows at once. Each gives which rows are true, and which are unknown."""

import re
from typing import Any, Callable, List, Tuple

import numpy

from timeproof_probe.file_checks import Refused

from .columns import Column, constant
from .elements import Element

# Rows (their places) → true, unknown: boolean arrays of that length.
Predicate = Callable[[Any], Tuple[Any, Any]]
Lookup = Callable[[str], Column]

PREDICATES = frozenset({"True", "False", "SimplePredicate", "SimpleSetPredicate", "CompoundPredicate"})
_DEPTH = 64  # predicates within one another
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_COMPARISONS = {
    "equal": numpy.equal,
    "notEqual": numpy.not_equal,
    "lessThan": numpy.less,
    "lessOrEqual": numpy.less_equal,
    "greaterThan": numpy.greater,
    "greaterOrEqual": numpy.greater_equal,
}


def predicate_of(element: Element, lookup: Lookup) -> Predicate:
    """Give the predicate that an element (a Node, a Segment) holds. Raises Refused."""
    for child in element.children:
        if child.tag in PREDICATES:
            return _predicate(child, lookup, 0)
    raise Refused("a {} has no predicate that is evaluated".format(element.tag))


def array_values(element: Element) -> List[str]:
    """Give the values of an Array as they are spelled: quoted where they hold blanks."""
    return [
        plain if plain else re.sub(r"\\(.)", r"\1", quoted) for quoted, plain in _QUOTED.findall(element.text)
    ]


def _predicate(element: Element, lookup: Lookup, depth: int) -> Predicate:
    if depth > _DEPTH:
        raise Refused("predicates are nested more than {} deep".format(_DEPTH))
    if element.tag == "True":
        return lambda rows: (numpy.ones(len(rows), bool), numpy.zeros(len(rows), bool))
    if element.tag == "False":
        return lambda rows: (numpy.zeros(len(rows), bool), numpy.zeros(len(rows), bool))
    if element.tag == "SimplePredicate":
        return _simple(element, lookup)
    if element.tag == "SimpleSetPredicate":
        return _of_set(element, lookup)
    return _compound(element, lookup, depth)


def _simple(element: Element, lookup: Lookup) -> Predicate:
    column, operator = lookup(element.need("field")), element.need("operator")
    if operator in ("isMissing", "isNotMissing"):
        wanted = operator == "isMissing"
        return lambda rows: (column.missing[rows] == wanted, numpy.zeros(len(rows), bool))
    if operator not in _COMPARISONS:
        raise Refused("the operator {!r} of a SimplePredicate is not evaluated".format(operator))
    compare, value = _COMPARISONS[operator], constant(element.need("value"), column.type)
    values, missing = column.values, column.missing
    if not missing.any():
        none = numpy.zeros(len(missing), bool)
        return lambda rows: (compare(values[rows], value), none[: len(rows)])

    def with_gaps(rows: Any) -> Tuple[Any, Any]:
        unknown = missing[rows]
        return compare(values[rows], value) & ~unknown, unknown

    return with_gaps


def _of_set(element: Element, lookup: Lookup) -> Predicate:
    column, operator = lookup(element.need("field")), element.need("booleanOperator")
    if operator not in ("isIn", "isNotIn"):
        raise Refused("the operator {!r} of a SimpleSetPredicate is not evaluated".format(operator))
    array = element.first("Array")
    if array is None:
        raise Refused("a SimpleSetPredicate has no Array")
    members = numpy.array([constant(text, column.type) for text in array_values(array)])
    if not len(members):
        members = numpy.array([], column.values.dtype)

    def evaluate(rows: Any) -> Tuple[Any, Any]:
        unknown = column.missing[rows]
        inside = numpy.isin(column.values[rows], members)
        return (inside == (operator == "isIn")) & ~unknown, unknown

    return evaluate


def _compound(element: Element, lookup: Lookup, depth: int) -> Predicate:
    operator = element.need("booleanOperator")
    parts = [_predicate(c, lookup, depth + 1) for c in element.children if c.tag in PREDICATES]
    if operator not in ("and", "or", "xor", "surrogate") or not parts:
        raise Refused("a CompoundPredicate by {!r} is not evaluated".format(operator))

    def evaluate(rows: Any) -> Tuple[Any, Any]:
        true, unknown = parts[0](rows)
        for part in parts[1:]:
            other, other_unknown = part(rows)
            if operator == "surrogate":
                true, unknown = numpy.where(unknown, other, true), unknown & other_unknown
            elif operator == "xor":
                unknown = unknown | other_unknown
                true = (true ^ other) & ~unknown
            elif operator == "and":
                false = ~(true | unknown) | ~(other | other_unknown)
                true = true & other
                unknown = ~(true | false)
            else:
                false = ~(true | unknown) & ~(other | other_unknown)
                true = true | other
                unknown = ~(true | false)
        return true, unknown

    return evaluate
