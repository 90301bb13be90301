"""Forests and boosted trees of scikit-learn as an ensemble of trees, read from the live object."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.frameworks.base import Array, comes_from
from timeproof.frameworks.trees.ensemble import (
    Ensemble,
    Feature,
    Leaf,
    Link,
    NoEnsemble,
    Split,
    Tree,
    feature_names,
)

_SINGLE_TREES = frozenset(
    {"DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"}
)
_FORESTS = frozenset(
    {"RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"}
)
_BOOSTING = frozenset({"GradientBoostingClassifier", "GradientBoostingRegressor"})
_HISTOGRAMS = frozenset({"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"})
_LARGEST = sys.float_info.max


def ensemble_of(model: Any, options: Mapping[str, Json]) -> Ensemble:
    """Read a live model. Raises NoEnsemble where it is none of the kinds above.

    Args:
        options: what the loader is told: the methods that are its outputs.
    """
    try:
        return _read(model, options)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise NoEnsemble(f"it is not built as it was ({type(error).__name__}: {error})") from error


def _read(model: Any, options: Mapping[str, Json]) -> Ensemble:
    kind = type(model).__name__
    if not type(model).__module__.startswith("sklearn."):
        raise NoEnsemble(f"{kind} is a class of the user's own")
    methods = [str(method) for method in options.get("methods") or ()]  # type: ignore[union-attr]
    if options.get("form"):
        raise NoEnsemble("its table is not one array of numbers")
    if strange := set(methods) - {"predict", "predict_proba", "decision_function"}:
        raise NoEnsemble(f"it is asked by {min(strange)}")
    if kind in _SINGLE_TREES:
        return _forest(model, [model], methods)
    if kind in _FORESTS:
        return _forest(model, model.estimators_, methods)
    if kind in _BOOSTING:
        return _boosting(model, methods)
    if kind in _HISTOGRAMS:
        return _histogram(model, methods)
    raise NoEnsemble(f"its class, {kind}, is no forest and no boosting of trees")


def _features(model: Any, *, single: bool) -> tuple[Feature, ...]:
    names = getattr(model, "feature_names_in_", None)
    plain = feature_names(None if names is None else [*names], int(model.n_features_in_), "x")
    return tuple(Feature(name, single=single) for name in plain)


def _classes(model: Any) -> dict[str, Any]:
    """The classes' names, and what the labels of `predict` are."""
    classes = getattr(model, "classes_", None)
    if classes is None:
        return {}
    array = np.asarray(classes)
    dtype = {"i": array.dtype.str, "u": array.dtype.str, "U": array.dtype.str}.get(array.dtype.kind, "")
    names = tuple(str(name) for name in array.tolist())
    if not dtype and all(isinstance(name, str) for name in array.tolist()):
        dtype = "U"
    return {"classes": names, "label_dtype": dtype}


def _ensemble(
    model: Any,
    groups: Sequence[Sequence[Tree]],
    link: Link,
    methods: Sequence[str],
    *,
    single: bool,
    **more: Any,
) -> Ensemble:
    class_names = _classes(model)
    if class_names:
        answer = "predict_proba" if "predict_proba" in methods else ""
        label = "predict" if "predict" in methods and class_names["label_dtype"] else ""
        more |= {**class_names, "shape": "columns", "label": label}
    else:
        answer = "predict"
    return Ensemble(
        library="scikit-learn",
        features=_features(model, single=single),
        groups=tuple(tuple(group) for group in groups),
        link=link,
        raw="decision_function" if "decision_function" in methods else "",
        answer=answer,
        absent=0.0,
        **more,
    )


def _forest(model: Any, estimators: Sequence[Any], methods: Sequence[str]) -> Ensemble:
    if int(model.n_outputs_) != 1:
        raise NoEnsemble("it predicts several targets")
    if hasattr(model, "classes_"):
        trees = [_tree(estimator.tree_, _shares) for estimator in estimators]
        return _ensemble(model, [trees], "shares", methods, single=True, average=True)
    trees = [_tree(estimator.tree_, lambda value: (float(value[0, 0]),)) for estimator in estimators]
    return _ensemble(model, [trees], "identity", methods, single=True, average=True)


def _shares(value: Array) -> tuple[float, ...]:
    """A leaf's shares of classes; older versions count rows."""
    total = float(value[0].sum())
    shares = value[0] if abs(total - 1.0) < 1e-9 or total == 0 else value[0] / total
    return tuple(float(share) for share in shares)


def _tree(tree: Any, leaf: Callable[[Array], tuple[float, ...]]) -> Tree:
    """Read the arrays of sklearn.tree._tree.Tree, whose inputs are float32 and whose thresholds are not."""
    missing = getattr(tree, "missing_go_to_left", None)
    if missing is None:  # scikit-learn before 1.3
        missing = np.zeros(tree.node_count, np.uint8)
    nodes: list[Split | Leaf] = []
    for k in range(tree.node_count):
        lower, upper = int(tree.children_left[k]), int(tree.children_right[k])
        if lower == -1:
            nodes.append(Leaf(leaf(tree.value[k])))
            continue
        threshold = _single_below(float(tree.threshold[k]))
        nodes.append(Split(int(tree.feature[k]), "<=", lower, upper, bool(missing[k]), threshold))
    return Tree(tuple(nodes))


def _single_below(threshold: float) -> float:
    """The largest float32 that is not above a threshold: the same float32 values are below either."""
    with np.errstate(over="ignore"):
        single = np.float32(threshold)
    if not np.isfinite(single):
        single = np.float32(np.copysign(np.finfo(np.float32).max, threshold))
    return float(np.nextafter(single, np.float32(-np.inf)) if float(single) > threshold else single)


def _boosting(model: Any, methods: Sequence[str]) -> Ensemble:
    constant = model.init_ == "zero" or comes_from(
        model.init_, "sklearn.dummy", frozenset({"DummyClassifier", "DummyRegressor"})
    )
    if not constant:
        raise NoEnsemble("it begins with another model (init)")
    rate = float(model.learning_rate)
    start = np.ravel(model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32)))
    groups = [
        [
            Tree.constant(float(first)),
            *(_tree(e.tree_, lambda value: (rate * float(value[0, 0]),)) for e in model.estimators_[:, k]),
        ]
        for k, first in enumerate(start)
    ]
    scale = 2.0 if getattr(model, "loss", "") == "exponential" else 1.0
    return _ensemble(model, groups, _link(model, len(groups)), methods, single=True, scale=scale)


def _link(model: Any, groups: int) -> Link:
    if not hasattr(model, "classes_"):
        return "identity"
    return "softmax" if groups > 1 else "logistic"


def _histogram(model: Any, methods: Sequence[str]) -> Ensemble:
    start = np.ravel(model._baseline_prediction)
    groups = [
        [Tree.constant(float(first)), *(_predictor(stage[k]) for stage in model._predictors)]
        for k, first in enumerate(start)
    ]
    link = _link(model, len(groups))
    if link == "identity" and model.loss in {"poisson", "gamma"}:
        link = "exp"
    return _ensemble(model, groups, link, methods, single=False)


def _predictor(predictor: Any) -> Tree:
    """Read the records of a TreePredictor."""
    nodes: list[Split | Leaf] = []
    for node in predictor.nodes:
        if node["is_leaf"]:
            nodes.append(Leaf((float(node["value"]),)))
            continue
        if node["is_categorical"]:
            raise NoEnsemble("it splits by categories")
        threshold = min(max(float(node["num_threshold"]), -_LARGEST), _LARGEST)
        missing = bool(node["missing_go_to_left"])
        nodes.append(
            Split(int(node["feature_idx"]), "<=", int(node["left"]), int(node["right"]), missing, threshold)
        )
    return Tree(tuple(nodes))
