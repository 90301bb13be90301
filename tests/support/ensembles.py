"""Random ensembles of trees, and what they answer: row by row, apart from every writer and evaluator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from timeproof.frameworks.trees.ensemble import Ensemble, Feature, Leaf, Split, Tree

FEATURES = (
    Feature("width", single=True),
    Feature("height <&>", single=True),
    Feature("colour", categories=("red", "gr een", 'bl"ue\\')),
    Feature("code", coded=True),
)
_NEARLY_ZERO = float(np.float32(1e-35))
_numbers = st.floats(-4, 4, width=32).map(lambda value: float(np.float32(round(value, 2))))


@st.composite
def trees(draw: Any, *, width: int, zeros: bool) -> Tree:
    """A tree of up to seven splits whose leaves hold `width` values."""
    nodes: list[Any] = [None]
    waiting = [0]
    splits = draw(st.integers(0, 7))
    while waiting:
        place = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
        if splits and (place == 0 or draw(st.booleans())):
            splits -= 1
            children = (len(nodes), len(nodes) + 1)
            nodes += [None, None]
            waiting += children
            nodes[place] = _split(draw, children, zeros)
        else:
            values = tuple(draw(_numbers) for _ in range(width))
            nodes[place] = Leaf(tuple(abs(value) for value in values) if width > 1 else values)
    return Tree(tuple(nodes))


def _split(draw: Any, children: tuple[int, int], zeros: bool) -> Split:
    feature = draw(st.integers(0, len(FEATURES) - 1))
    missing = draw(st.booleans())
    if FEATURES[feature].categorical:
        codes = tuple(sorted(draw(st.sets(st.integers(0, 2), min_size=1))))
        member: Any = draw(st.sampled_from(["in", "not in"]))
        return Split(feature, member, *children, missing_left=missing, categories=codes)
    operator: Any = "<=" if zeros else draw(st.sampled_from(["<", "<="]))
    return Split(
        feature,
        operator,
        *children,
        missing_left=missing,
        threshold=draw(_numbers | st.just(0.0)),
        zero_missing=zeros,
    )


@st.composite
def ensembles(draw: Any) -> Ensemble:
    """An ensemble of any link."""
    link = draw(st.sampled_from(["identity", "exp", "logistic", "softmax", "each", "shares"]))
    width = 3 if link == "shares" else 1
    groups = 3 if link in {"softmax", "each"} else 1
    zeros = draw(st.booleans())
    single = draw(st.booleans()) and link != "shares"
    count = draw(st.integers(1, 4))
    classes: tuple[str, ...] = ("a", "b & c", "3") if groups == 3 or width == 3 else ()
    if link == "logistic" and draw(st.booleans()):
        classes = ("no", "yes")
    grown = tuple(tuple(draw(trees(width=width, zeros=zeros)) for _ in range(count)) for _ in range(groups))
    return Ensemble(
        library="Random",
        features=FEATURES,
        groups=grown,
        link=link,
        raw="" if link == "shares" else "raw",
        answer="answer",
        average=link == "shares",
        single=single,
        scale=draw(st.sampled_from([1.0, 0.5])) if link in {"logistic", "each"} else 1.0,
        shape="columns" if classes else "value",
        classes=classes,
    )


@st.composite
def tables(draw: Any) -> np.ndarray:
    """Rows of FEATURES: numbers that lie on thresholds, zeros, codes that no tree knows, missing values."""
    rows = draw(st.integers(1, 6))
    number = _numbers | st.sampled_from([0.0, -0.0, math.nan])
    code = st.sampled_from([0.0, 1.0, 2.0, math.nan])
    return np.array(
        [[draw(number), draw(number), draw(code), draw(code | st.just(9.0))] for _ in range(rows)],
        np.float32,
    )


def answers(ensemble: Ensemble, table: np.ndarray) -> dict[str, np.ndarray]:
    """What the ensemble answers, by its record's own words."""
    rounding = np.float32 if ensemble.single else np.float64
    with np.errstate(all="ignore"):
        sums = np.array([[_sum(ensemble, group, row) for group in ensemble.groups] for row in table])
        outputs: dict[str, np.ndarray] = {}
        if ensemble.link == "shares":
            return {"answer": sums[:, 0, :]}
        raw = sums[:, :, 0]
        scaled = raw * ensemble.scale
        if ensemble.link == "softmax":
            powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
            answer = powers / powers.sum(axis=1, keepdims=True)
        elif ensemble.link in {"logistic", "each"}:
            answer = 1 / (1 + np.exp(-scaled))
            if ensemble.link == "logistic":
                answer = np.hstack([1 - answer, answer]) if ensemble.classes else answer[:, 0]
        else:
            answer = (np.exp(scaled) if ensemble.link == "exp" else scaled)[:, 0]
        outputs["answer"] = answer.astype(rounding)
        outputs["raw"] = (raw if len(ensemble.groups) > 1 else raw[:, 0]).astype(rounding)
    return outputs


def _sum(ensemble: Ensemble, group: tuple[Tree, ...], row: np.ndarray) -> np.ndarray:
    total = np.zeros(3 if ensemble.link == "shares" else 1)
    for tree in group:
        total = total + np.array(_leaf(tree, row))
        if ensemble.single:
            total = total.astype(np.float32).astype(np.float64)
    return total / len(group) if ensemble.average else total


def _leaf(tree: Tree, row: np.ndarray) -> tuple[float, ...]:
    node = tree.nodes[0]
    while isinstance(node, Split):
        node = tree.nodes[node.left if _goes_left(node, float(row[node.feature])) else node.right]
    return node.values


def _goes_left(split: Split, value: float) -> bool:
    if math.isnan(value) or (split.zero_missing and abs(value) <= _NEARLY_ZERO):
        return split.missing_left
    if split.operator in {"in", "not in"}:
        return (int(value) in split.categories) is (split.operator == "in")
    return value < split.threshold if split.operator == "<" else value <= split.threshold
