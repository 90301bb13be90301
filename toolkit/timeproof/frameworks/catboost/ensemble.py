"""A CatBoost model as an ensemble of trees: the structure of its JSON, with the live model's own leaves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.frameworks.base import Array
from timeproof.frameworks.catboost.conversions import save_as
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

_DEPTH = 16  # splits of a tree, each of which doubles its leaves
_BINARY = frozenset({"Logloss", "CrossEntropy"})


def ensemble_of(model: Any, options: Mapping[str, Json], signature: Mapping[str, Json]) -> Ensemble:
    """Read a live model. Raises NoEnsemble where it has categories, texts, or trees of another form."""
    if isinstance(model, Path):
        raise NoEnsemble("it is read from the live model, whose JSON does not hold every bit")
    if options.get("layout"):
        raise NoEnsemble("its table is not one array of numbers")
    try:
        return _read(model, _document(model), options, signature)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise NoEnsemble(
            f"its JSON is not as CatBoost writes it ({type(error).__name__}: {error})"
        ) from error


def _document(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        try:
            save_as(model, path, "json")
        except Exception as error:  # CatBoostError, which is not imported here
            raise NoEnsemble(f"CatBoost can't write it as JSON: {str(error)[:200]}") from error
        document: dict[str, Any] = json.loads(path.read_bytes())
        return document


def _read(
    model: Any, document: Mapping[str, Any], options: Mapping[str, Any], signature: Mapping[str, Any]
) -> Ensemble:
    information = document["features_info"]
    if any(information.get(kind) for kind in ("categorical_features", "text_features", "embedding_features")):
        raise NoEnsemble("it has features that are no numbers")
    if "oblivious_trees" not in document:
        raise NoEnsemble("its trees are not symmetric")
    floats = information["float_features"]
    flat = [int(feature["flat_feature_index"]) for feature in floats]
    missing_left = [feature.get("nan_value_treatment") != "AsTrue" for feature in floats]
    leaves = np.asarray(model.get_leaf_values(), np.float64)
    scale, biases = _scale_and_bias(document["scale_and_bias"])
    width = len(biases)
    groups: list[list[Tree]] = [[] for _ in range(width)]
    used = 0
    for tree in document["oblivious_trees"]:
        depth = len(tree["splits"])
        if depth > _DEPTH:
            raise NoEnsemble(f"a tree of it has more than {_DEPTH} splits")
        values = leaves[used : used + width * 2**depth].reshape(-1, width)
        used += width * 2**depth
        for k in range(width):
            groups[k].append(_tree(tree["splits"], values[:, k] * scale, flat, missing_left))
    if used != len(leaves):
        raise NoEnsemble(f"it has {len(leaves)} leaf values, its trees {used}")
    for k, bias in enumerate(biases):
        groups[k].append(Tree.constant(bias))
    return Ensemble(
        library="CatBoost",
        features=_features(model, max([*flat, len(model.feature_names_) - 1]) + 1),
        groups=tuple(tuple(group) for group in groups),
        raw="raw_formula_val",
        **_answer(model, document, options, signature, width),
    )


def _scale_and_bias(pair: Any) -> tuple[float, list[float]]:
    scale, bias = pair
    biases = [float(b) for b in bias] if isinstance(bias, list) else [float(bias)]
    return float(scale), biases


def _features(model: Any, count: int) -> tuple[Feature, ...]:
    names = [str(name) for name in model.feature_names_]
    made_up = names == [str(k) for k in range(len(names))]
    return tuple(Feature(name, single=True) for name in feature_names(None if made_up else names, count, "x"))


def _answer(
    model: Any,
    document: Mapping[str, Any],
    options: Mapping[str, Any],
    signature: Mapping[str, Any],
    width: int,
) -> dict[str, Any]:
    outputs, kind = list(options["outputs"]), options.get("predict")
    if "predict_proba" not in outputs:
        if width != 1 or kind not in {"RawFormulaVal", "Exponent"}:
            raise NoEnsemble("it predicts several targets")
        link: Link = "exp" if kind == "Exponent" else "identity"
        return {"link": link, "answer": "predict", "shape": "value"}
    loss = str(document["model_info"]["params"]["loss_function"]["type"])
    classes = [str(label) for label in signature.get("classes") or ()]
    if width == 1 and loss in _BINARY:
        link = "logistic"
    elif loss in {"MultiClass", "MultiClassOneVsAll"} and len(classes) == width:
        link = "softmax" if loss == "MultiClass" else "each"
    else:
        raise NoEnsemble(f"the loss {loss} has no like in PMML")
    labels: Array = np.asarray(model.classes_)
    dtype = labels.dtype.str if labels.dtype.kind in "iu" else "U" if labels.dtype.kind in "UO" else ""
    return {
        "link": link,
        "answer": "predict_proba",
        "shape": "columns",
        "classes": tuple(classes),
        "label": "predict" if "predict" in outputs and dtype else "",
        "label_dtype": dtype,
        "label_table": width > 1,
    }


def _tree(splits: Any, values: Array, flat: list[int], missing_left: list[bool]) -> Tree:
    """A symmetric tree: at each depth all nodes ask the same. A value above the border goes right.

    A leaf's place has a bit for each split: the first split's is the lowest.
    """
    if any(split["split_type"] != "FloatFeature" for split in splits):
        raise NoEnsemble("it splits by something else than numbers")
    nodes: list[Split | Leaf | None] = [None]
    level = [(0, 0)]  # the nodes of a depth, each with the bits of its way there
    for depth, split in enumerate(splits):
        feature = int(split["float_feature_index"])
        below = []
        for place, bits in level:
            lower, upper = len(nodes), len(nodes) + 1
            nodes += [None, None]
            border = float(np.float32(split["border"]))
            nodes[place] = Split(flat[feature], "<=", lower, upper, missing_left[feature], border)
            below += [(lower, bits), (upper, bits | 1 << depth)]
        level = below
    for place, bits in level:
        nodes[place] = Leaf((float(values[bits]),))
    return Tree(tuple(node for node in nodes if node is not None))
