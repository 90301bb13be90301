"""An XGBoost model as an ensemble of trees, read from the JSON that it is saved as. Nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.frameworks.trees.ensemble import (
    Ensemble,
    Feature,
    Leaf,
    Link,
    NoEnsemble,
    Shape,
    Split,
    Tree,
    feature_names,
    require_finite,
)

# Objective → what makes an answer of a raw value (src/objective in XGBoost's sources).
_LINKS: Mapping[str, Link] = {
    **dict.fromkeys(
        ("reg:squarederror", "reg:linear", "reg:pseudohubererror", "reg:absoluteerror"), "identity"
    ),
    **dict.fromkeys(("reg:squaredlogerror", "reg:quantileerror", "binary:logitraw"), "identity"),
    **dict.fromkeys(("rank:pairwise", "rank:ndcg", "rank:map"), "identity"),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"), "exp"),
    **dict.fromkeys(("reg:logistic", "binary:logistic"), "logistic"),
    **dict.fromkeys(("multi:softprob", "multi:softmax"), "softmax"),
}


def ensemble_of(
    model: Mapping[str, Any], options: Mapping[str, Json], signature: Mapping[str, Json]
) -> Ensemble:
    """Read a model. Raises NoEnsemble.

    Args:
        model: what the model's JSON holds.
        options: what the loader is told of the model.
        signature: what is known of its features and classes.
    """
    try:
        return _read(model["learner"], options, signature)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise NoEnsemble(f"its file is not as XGBoost writes it ({type(error).__name__}: {error})") from error


def _read(learner: Mapping[str, Any], options: Mapping[str, Any], signature: Mapping[str, Any]) -> Ensemble:
    booster, sizes = learner["gradient_booster"], learner["learner_model_param"]
    weights: Sequence[float] | None = None
    if booster["name"] == "dart":
        weights, booster = booster["weight_drop"], booster["gbtree"]
    elif booster["name"] != "gbtree":
        raise NoEnsemble(f"its booster is {booster['name']}, which has no trees")
    objective = str(learner["objective"]["name"])
    if objective not in _LINKS:
        raise NoEnsemble(f"the objective {objective} has no like in PMML")
    trees = booster["model"]
    groups = max(int(sizes["num_class"]), int(sizes.get("num_target", 1)), 1)
    method = str(next(iter(options["methods"])))
    link = _LINKS[objective]
    if link != "softmax" and groups > 1:
        raise NoEnsemble("it predicts several targets")
    link, shape, classes = _answer(link, objective, method, groups, signature)
    return Ensemble(
        library="XGBoost",
        features=_features(learner, int(sizes["num_feature"]), options, signature),
        groups=_groups(trees, groups, weights, options, _margins(sizes["base_score"], link, groups)),
        single=True,
        link=link,
        raw="margin",
        answer=method,
        shape=shape,
        classes=classes,
        missing_value=options.get("missing"),
    )


def _answer(
    link: Link, objective: str, method: str, groups: int, signature: Mapping[str, Any]
) -> tuple[Link, Shape, tuple[str, ...]]:
    if link == "softmax":
        names = tuple(str(label) for label in signature.get("classes") or range(groups))
        return link, "label" if objective == "multi:softmax" and method == "predict" else "columns", names
    if method == "predict_proba":
        if link != "logistic":
            raise NoEnsemble(f"the objective {objective} gives no probabilities")
        return link, "columns", tuple(str(label) for label in signature.get("classes") or range(2))
    return link, "value", ()


def _margins(text: str, link: Link, groups: int) -> list[float]:
    """Give the raw values that XGBoost begins with: its base scores, back through the link, in float32."""
    spelled = [float(part) for part in str(text).strip("[]").split(",") if part.strip()]
    scores = spelled * groups if len(spelled) == 1 else spelled
    if len(scores) != groups:
        raise NoEnsemble(f"it has {len(scores)} base scores for {groups} raw values")
    return [_margin(np.float32(score), link) for score in scores]


def _margin(score: np.float32, link: Link) -> float:
    if link == "exp":
        return float(np.float32(math.log(float(score))))
    if link == "logistic":
        return float(-np.float32(math.log(float(np.float32(1) / score - np.float32(1)))))
    return float(score)


def _features(
    learner: Mapping[str, Any], count: int, options: Mapping[str, Any], signature: Mapping[str, Any]
) -> tuple[Feature, ...]:
    names = feature_names(learner.get("feature_names") or options.get("columns"), count, "f")
    types = learner.get("feature_types") or options.get("feature_types") or ["float"] * count
    described = signature.get("features") or [{}] * count
    return tuple(
        Feature(name, single=True, **_categories(types[k] == "c", described[k]))
        for k, name in enumerate(names)
    )


def _categories(coded: bool, described: Mapping[str, Any]) -> dict[str, Any]:
    names = tuple(str(category) for category in described.get("categories") or ())
    if not coded:
        return {}
    usable = names and len(set(names)) == len(names) and all(n.isprintable() and n.strip() for n in names)
    return {"categories": names} if usable else {"coded": True}


def _groups(
    model: Mapping[str, Any],
    groups: int,
    weights: Sequence[float] | None,
    options: Mapping[str, Any],
    margins: Sequence[float],
) -> tuple[tuple[Tree, ...], ...]:
    """Give the trees of each raw value, a constant first: XGBoost begins with it, and adds tree by tree."""
    lists: list[list[Tree]] = [[Tree.constant(margin)] for margin in margins]
    parallel = int(model["gbtree_model_param"].get("num_parallel_tree") or 1)
    rounds = options.get("iteration_range")
    used = len(model["trees"]) if not rounds else int(rounds[1]) * parallel * groups
    for k, tree in enumerate(model["trees"][:used]):
        weight = np.float32(1) if weights is None else np.float32(weights[k])
        lists[model["tree_info"][k]].append(_tree(tree, lambda value, w=weight: np.float32(value) * w))  # type: ignore[misc]
    return tuple(tuple(trees) for trees in lists)


def _tree(tree: Mapping[str, Any], weighed: Callable[[float], Any]) -> Tree:
    if int(tree["tree_param"].get("size_leaf_vector") or 1) > 1:
        raise NoEnsemble("its trees give several values each")
    lefts, rights = tree["left_children"], tree["right_children"]
    conditions = [float(np.float32(value)) for value in tree["split_conditions"]]
    kinds = tree.get("split_type") or [0] * len(lefts)
    sets = _category_sets(tree)
    require_finite(conditions)
    nodes: list[Split | Leaf] = []
    for k in range(len(lefts)):
        if lefts[k] == -1:
            nodes.append(Leaf((float(weighed(conditions[k])),)))
            continue
        if not (k < lefts[k] < len(lefts) and k < rights[k] < len(lefts)):
            raise NoEnsemble("its nodes are not in their order")
        nodes.append(
            Split(
                feature=int(tree["split_indices"][k]),
                operator="not in" if kinds[k] else "<",
                threshold=0.0 if kinds[k] else conditions[k],
                categories=sets.get(k, ()),
                left=lefts[k],
                right=rights[k],
                missing_left=bool(tree["default_left"][k]),
            )
        )
    return Tree(tuple(nodes))


def _category_sets(tree: Mapping[str, Any]) -> dict[int, tuple[int, ...]]:
    """Give the categories that go right, by their node."""
    places = zip(
        tree.get("categories_nodes", ()),
        tree.get("categories_segments", ()),
        tree.get("categories_sizes", ()),
        strict=True,
    )
    return {int(k): tuple(tree["categories"][start : start + size]) for k, start, size in places}
