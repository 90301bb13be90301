"""A LightGBM model as an ensemble of trees, read from the text that it is saved as. Nothing is loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.frameworks.trees.ensemble import (
    Ensemble,
    Feature,
    Growing,
    Leaf,
    Link,
    NoEnsemble,
    Shape,
    Split,
    Tree,
    feature_names,
    require_finite,
)

_LINKS: Mapping[str, Link] = {
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape"), "identity"),
    **dict.fromkeys(("lambdarank", "rank_xendcg"), "identity"),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exp"),
    **dict.fromkeys(("binary", "cross_entropy"), "logistic"),
    "multiclass": "softmax",
    "multiclassova": "each",
}
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of a decision type; the next two say what is missing
_ZERO, _NAN = 1, 2


def ensemble_of(text: str, options: Mapping[str, Json], signature: Mapping[str, Json]) -> Ensemble:
    """Read a model. Raises NoEnsemble.

    Args:
        text: of the model's file.
        options: what the loader is told of the model.
        signature: what is known of its features and classes.
    """
    try:
        return _read(text, options, signature)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise NoEnsemble(
            f"its file is not as LightGBM writes it ({type(error).__name__}: {error})"
        ) from error


def _read(text: str, options: Mapping[str, Any], signature: Mapping[str, Any]) -> Ensemble:
    head, *sections = text.partition("\nend of trees")[0].split("\nTree=")
    header = _lines(head)
    groups = int(header["num_tree_per_iteration"])
    objective, *parameters = header.get("objective", "custom").split()
    if options.get("linear_tree"):
        raise NoEnsemble("its leaves are linear models")
    if "sqrt" in parameters or (objective not in _LINKS and objective != "custom"):
        raise NoEnsemble(f"the objective {' '.join([objective, *parameters])} has no like in PMML")
    link = _LINKS.get(objective, "identity")
    rounds = options.get("num_iteration")
    used = sections if not rounds else sections[: int(rounds) * groups]
    trees = [_tree(_lines(section)) for section in used]
    method = str(next(iter(options["methods"])))
    link, shape, classes = _answer(link, method, groups, options, signature)
    scale = next((float(p.partition(":")[2]) for p in parameters if p.startswith("sigmoid:")), 1.0)
    count = int(header["max_feature_idx"]) + 1
    names = feature_names(header.get("feature_names", "").split(), count, "Column_")
    coded = {
        split.feature
        for tree in trees
        for split in tree.nodes
        if isinstance(split, Split) and split.categories
    }
    return Ensemble(
        library="LightGBM",
        features=_features(names, coded, signature),
        groups=tuple(tuple(trees[k::groups]) for k in range(groups)),
        link=link,
        # A random forest's raw scores are sums, and its answer is that of their means.
        scale=scale / (len(trees) // groups) if "average_output" in head.split("\n") else scale,
        raw="raw_score",
        answer=method,
        shape=shape,
        classes=classes,
        absent=0.0,
    )


def _answer(
    link: Link, method: str, groups: int, options: Mapping[str, Any], signature: Mapping[str, Any]
) -> tuple[Link, Shape, tuple[str, ...]]:
    named = [str(label) for label in signature.get("classes") or ()]
    if groups > 1:
        if link not in {"softmax", "each"}:
            raise NoEnsemble("it gives several raw values that are no classes'")
        return link, "columns", tuple(named or map(str, range(groups)))
    if options.get("two_columns"):
        if link != "logistic":
            raise NoEnsemble("its two probabilities are not those of its objective")
        return link, "columns", tuple(named or ("0", "1"))
    if method != "predict":
        raise NoEnsemble("its answer is that of the user's own objective")
    return link, "value", ()


def _features(names: Sequence[str], coded: set[int], signature: Mapping[str, Any]) -> tuple[Feature, ...]:
    described = signature.get("features") or [{}] * len(names)
    features = []
    for k, name in enumerate(names):
        categories = tuple(str(c) for c in described[k].get("categories") or ())
        usable = len(set(categories)) == len(categories) and all(
            c.isprintable() and c.strip() for c in categories
        )
        if categories and usable:
            features.append(Feature(name, categories=categories))
        else:
            features.append(Feature(name, coded=k in coded or bool(categories)))
    return tuple(features)


def _lines(section: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in section.split("\n"))}


def _numbers(fields: Mapping[str, str], name: str) -> list[float]:
    return [float(part) for part in fields.get(name, "").split()]


def _tree(fields: Mapping[str, str]) -> Tree:
    values = _numbers(fields, "leaf_value")
    require_finite(values)
    if int(fields["num_leaves"]) <= 1:
        return Tree.constant(values[0])
    # An infinite one parts missing values from all others; not all readers of XML know a spelling of it.
    thresholds = [
        min(max(value, -sys.float_info.max), sys.float_info.max) for value in _numbers(fields, "threshold")
    ]
    require_finite(thresholds)
    kinds, features = _numbers(fields, "decision_type"), _numbers(fields, "split_feature")
    children = _numbers(fields, "left_child"), _numbers(fields, "right_child")
    sets = _category_sets(fields)
    growing = Growing()
    waiting = [(0, growing.reserve())]
    while waiting:
        k, place = waiting.pop()
        if k < 0:
            growing.nodes[place] = Leaf((values[~k],))
            continue
        if len(growing.nodes) > 2 * len(values):
            raise NoEnsemble("its nodes make no tree")
        children_at = growing.reserve(), growing.reserve()
        growing.nodes[place] = _split(int(features[k]), int(kinds[k]), thresholds[k], sets, children_at)
        waiting += [(int(children[1][k]), children_at[1]), (int(children[0][k]), children_at[0])]
    return growing.finish()


def _split(
    feature: int, kind: int, threshold: float, sets: Sequence[tuple[int, ...]], children: tuple[int, int]
) -> Split:
    """One decision, as Tree::Decision has it (include/LightGBM/tree.h)."""
    if kind & _CATEGORICAL:
        return Split(feature, "in", *children, missing_left=False, categories=sets[int(threshold)])
    missing = (kind >> 2) & 3
    default = bool(kind & _DEFAULT_LEFT)
    if missing not in (_ZERO, _NAN):  # a missing value is taken for 0
        return Split(feature, "<=", *children, missing_left=threshold >= 0, threshold=threshold)
    return Split(
        feature, "<=", *children, missing_left=default, threshold=threshold, zero_missing=missing == _ZERO
    )


def _category_sets(fields: Mapping[str, str]) -> list[tuple[int, ...]]:
    """Give the categories of each set of bits."""
    bounds = [int(value) for value in _numbers(fields, "cat_boundaries")]
    words = [int(part) for part in fields.get("cat_threshold", "").split()]
    return [
        tuple(32 * k + bit for k, word in enumerate(words[a:b]) for bit in range(32) if word >> bit & 1)
        for a, b in pairwise(bounds)
    ]
