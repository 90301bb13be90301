"""PMML's TreeModel, over many rows at once."""

from typing import Any, Dict, List, Optional, Tuple

import numpy

from timeproof_probe.file_checks import Refused

from .columns import number
from .elements import Element
from .predicates import PREDICATES, Predicate, predicate_of
from .predictions import Prediction, is_single, most_probable, rounded
from .scope import Scope

_STRATEGIES = ("none", "lastPrediction", "nullPrediction", "defaultChild")
_LAST = "returnLastPrediction"


class _Node:
    """A Node: its place among all, its predicate, its children, and the child for missing values."""

    __slots__ = ("children", "default", "element", "place", "predicate")

    def __init__(self, element: Element, place: int, predicate: Predicate) -> None:
        self.element = element
        self.place = place
        self.predicate = predicate
        self.children: List[_Node] = []
        self.default: Optional[_Node] = None


def evaluate_tree(model: Element, scope: Scope) -> Prediction:
    """Evaluate a TreeModel. Raises Refused."""
    strategy = model.get("missingValueStrategy", "none")
    if strategy not in _STRATEGIES:
        raise Refused("missingValueStrategy={!r} of a TreeModel is not evaluated".format(strategy))
    nodes = _nodes(model, scope)
    places = _walk(nodes[0], scope.rows, strategy, model.get("noTrueChildStrategy") == _LAST)
    elements = [node.element for node in nodes]
    single = is_single(model)
    if model.get("functionName") == "classification":
        return _classes(elements, places, single)
    scores = [rounded(numpy.float64(number(e.get("score") or "nan")), single) for e in elements]
    numbers = numpy.append(numpy.array(scores, numpy.float64), numpy.nan)[places]
    return Prediction(numpy.isnan(numbers), numbers=numbers, single=single)


def _nodes(model: Element, scope: Scope) -> List[_Node]:
    root = model.first("Node")
    if root is None:
        raise Refused("a TreeModel has no Node")
    first = _Node(root, 0, predicate_of(root, scope.column))
    nodes, waiting = [first], [first]
    while waiting:
        parent = waiting.pop()
        for element in parent.element.children:
            if element.tag == "Node":
                child = _Node(element, len(nodes), predicate_of(element, scope.column))
                nodes.append(child)
                parent.children.append(child)
                waiting.append(child)
            elif element.tag not in PREDICATES and element.tag not in ("ScoreDistribution", "Partition"):
                raise Refused("a Node holds a {}, which is not evaluated".format(element.tag))
        name = parent.element.get("defaultChild")
        if name:
            chosen = [child for child in parent.children if child.element.get("id") == name]
            if len(chosen) != 1:
                raise Refused("the defaultChild {!r} is none of the Node's children".format(name[:80]))
            parent.default = chosen[0]
    return nodes


def _walk(root: _Node, rows: int, strategy: str, last: bool) -> Any:
    """Give the place of each row's node; -1 where it has none."""
    places = numpy.full(rows, -1)
    true, _ = root.predicate(numpy.arange(rows))
    waiting: List[Tuple[_Node, Any]] = [(root, numpy.flatnonzero(true))]
    while waiting:
        node, row_places = waiting.pop()
        if not node.children:
            places[row_places] = node.place
            continue
        for child in node.children:
            if not len(row_places):
                break
            true, unknown = child.predicate(row_places)
            if strategy != "none" and unknown.any():
                stopped = row_places[unknown]
                if strategy == "defaultChild":
                    if node.default is None:
                        raise Refused("a value is missing, and a Node names no defaultChild")
                    waiting.append((node.default, stopped))
                elif strategy == "lastPrediction":
                    places[stopped] = node.place
                true, rest = true & ~unknown, ~(true | unknown)
            else:
                rest = ~true
            if true.any():
                waiting.append((child, row_places[true]))
            row_places = row_places[rest]
        if last:
            places[row_places] = node.place
    return places


def _classes(elements: List[Element], places: Any, single: bool) -> Prediction:
    """Give each row's class, and the probabilities that its node states or counts."""
    shares = [_shares(element) for element in elements]
    names: List[str] = []
    for share in shares:
        names += [name for name in share if name not in names]
    probabilities: Dict[str, Any] = {}
    for name in names:
        column = numpy.array([share.get(name, 0.0) for share in shares] + [numpy.nan])
        probabilities[name] = rounded(column, single)[places]
    scored = [element.get("score") for element in elements]
    labels = numpy.array([*scored, ""], dtype="U")[places]
    unscored = (labels == "") & (places >= 0)
    if unscored.any() and probabilities:
        labels = numpy.where(unscored, most_probable(probabilities, len(places)), labels)
    missing = (places < 0) | (labels == "")
    return Prediction(missing, labels=labels, probabilities=probabilities or None, single=single)


def _shares(element: Element) -> Dict[str, float]:
    """Give the probabilities of one Node's classes."""
    entries = list(element.all("ScoreDistribution"))
    counts = {e.need("value"): number(e.need("recordCount")) for e in entries}
    total = sum(counts.values())
    shares = {}
    for entry in entries:
        value = entry.need("value")
        if "probability" in entry.attributes:
            shares[value] = number(entry.need("probability"))
        else:
            shares[value] = counts[value] / total if total else 0.0
    if not entries and element.get("score"):
        shares[element.get("score")] = 1.0
    return shares
