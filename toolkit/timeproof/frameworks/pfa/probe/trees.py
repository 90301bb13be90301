"""PFA's decision trees (model.tree.*), over many rows at once. A tree is JSON, as a cell holds it."""

from typing import Any, Dict, List, Tuple

import numpy

from timeproof_probe.file_checks import Refused

from .values import Constant, Record, Vector, as_vector, from_json

NODES = 10**7  # that one walk may look at
_COMPARISONS = {
    "<": numpy.less,
    "<=": numpy.less_equal,
    ">": numpy.greater,
    ">=": numpy.greater_equal,
    "==": numpy.equal,
    "!=": numpy.not_equal,
}


def compare(row: Any, node: Any, with_missing: bool) -> Vector:
    """Compare a row's field as a node says: `simpleTest`, or with nulls `missingTest`. Raises Refused."""
    if not isinstance(row, Record) or not isinstance(node, Constant):
        raise Refused("a comparison of a tree takes a record and a node")
    try:
        field, operator, wanted = node.data["field"], node.data["operator"], node.data["value"]
    except (KeyError, TypeError):
        raise Refused("a node has no field, operator and value")
    if operator == "alwaysTrue":
        return Vector(True, "boolean")
    if operator == "alwaysFalse":
        return Vector(False, "boolean")
    datum = as_vector(row.field(field))
    if operator in ("isMissing", "notMissing"):
        return Vector(datum.missing == (operator == "isMissing"), "boolean")
    if datum.missing.any() and not with_missing:
        raise Refused("the field {!r} is null, and the tree has no way for that".format(field))
    result = _result(datum, operator, from_json(wanted))
    return Vector(result, "boolean", datum.missing)


def _result(datum: Vector, operator: str, wanted: Any) -> Any:
    if operator in ("in", "notIn"):
        if not isinstance(wanted, list):
            raise Refused("the operator {!r} needs an array".format(operator))
        members = [as_vector(item).values for item in wanted]
        inside = numpy.isin(datum.values, numpy.array(members)) if members else datum.values != datum.values
        return inside == (operator == "in")
    if operator not in _COMPARISONS:
        raise Refused("the operator {!r} of a tree is not evaluated".format(str(operator)[:40]))
    value = as_vector(wanted)
    if (value.type == "string") != (datum.type == "string"):
        raise Refused("a tree compares text with a number")
    return _COMPARISONS[operator](datum.values, value.values)


def walk(row: Any, tree: Any, test: Any, rows: int) -> Any:
    """Give what each row's leaf holds. Raises Refused.

    Args:
        test: (rows, node) → whether they pass; null, where it may, takes a node's `missing`.
    """
    if not isinstance(row, Record) or not isinstance(tree, Constant):
        raise Refused("a walk takes a record and a tree")
    leaves: List[Any] = []
    places = numpy.zeros(rows, numpy.int64)
    waiting: List[Tuple[Dict[str, Any], Any]] = [(_plain_node(tree.data), numpy.arange(rows))]
    visited = 0
    while waiting:
        node, chosen = waiting.pop()
        visited += 1
        if visited > NODES:
            raise Refused("a walk looks at more than {} nodes".format(NODES))
        passed = as_vector(test(row.at(chosen), Constant(node)))
        true = numpy.broadcast_to(passed.values != 0, len(chosen))
        unknown = numpy.broadcast_to(passed.missing, len(chosen))
        for name, part in (
            ("pass", true & ~unknown),
            ("fail", ~true & ~unknown),
            ("missing", unknown),
        ):
            if not part.any():
                continue
            if name not in node:
                raise Refused("a node has no {!r}, and rows go there".format(name))
            child = node[name]
            if isinstance(child, dict) and len(child) == 1 and _is_node(next(iter(child.values()))):
                waiting.append((next(iter(child.values())), chosen[part]))
            else:
                places[chosen[part]] = len(leaves)
                leaves.append(from_json(child))
    return _gathered(leaves, places)


def _is_node(data: Any) -> bool:
    return isinstance(data, dict) and "pass" in data and "fail" in data


def _plain_node(data: Any) -> Dict[str, Any]:
    if isinstance(data, dict) and len(data) == 1 and _is_node(next(iter(data.values()))):
        data = next(iter(data.values()))
    if not _is_node(data):
        raise Refused("a tree has no node with pass and fail")
    node: Dict[str, Any] = data
    return node


def _gathered(leaves: List[Any], places: Any) -> Any:
    """Put the leaves of all rows together: numbers, text, or arrays of equal length."""
    if not leaves:
        raise Refused("there are no rows")
    if all(isinstance(leaf, list) for leaf in leaves):
        if len({len(leaf) for leaf in leaves}) != 1:
            raise Refused("the leaves hold arrays of several lengths")
        return [_gathered([leaf[k] for leaf in leaves], places) for k in range(len(leaves[0]))]
    vectors = [as_vector(leaf) for leaf in leaves]
    if len({vector.type for vector in vectors}) != 1:
        raise Refused("the leaves hold values of several types")
    values = numpy.array([vector.values for vector in vectors])[places]
    return Vector(values, vectors[0].type, numpy.array([bool(v.missing) for v in vectors])[places])
