"""LightGBM on plain arrays: wrappers and Boosters, objectives, boosters, early stopping. No pandas."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from scipy import sparse
from tree_data import ROWS, classes, groups, table, target
from zoo_case import Made, model, wrong

SMALL: dict[str, Any] = {"n_estimators": 12, "num_leaves": 15, "n_jobs": 1, "random_state": 0, "verbose": -1}
PARAMS: dict[str, Any] = {"num_leaves": 15, "num_threads": 1, "seed": 0, "verbose": -1}
X = table()


def probabilities(clf: Any, x: Any = X) -> Made:
    return Made(clf, x, lambda: {"predict_proba": clf.predict_proba(x)})


def predictions(regressor: Any, x: Any = X) -> Made:
    return Made(regressor, x, lambda: {"predict": regressor.predict(x)})


def trained(params: dict[str, Any], data: lightgbm.Dataset, x: Any = X, **more: Any) -> Made:
    return predictions(lightgbm.train({**PARAMS, **params}, data, 12, **more), x)


@model("two classes")
def lgb_binary() -> Made:
    return probabilities(lightgbm.LGBMClassifier(**SMALL).fit(X, classes(X, 2)))


@model("string labels", quick=True)
def lgb_strings() -> Made:
    labels = np.array(["tern", "gull", "auk"])[classes(X)]
    return probabilities(lightgbm.LGBMClassifier(**SMALL).fit(X, labels))


@model("regression")
def lgb_regression() -> Made:
    return predictions(lightgbm.LGBMRegressor(**SMALL).fit(X, target(X)))


@model("quantile")
def lgb_quantile() -> Made:
    return predictions(lightgbm.LGBMRegressor(objective="quantile", alpha=0.9, **SMALL).fit(X, target(X)))


@model("cross entropy of shares")
def lgb_cross_entropy() -> Made:
    share = 1 / (1 + np.exp(-target(X)))
    return trained({"objective": "cross_entropy"}, lightgbm.Dataset(X, share))


@model("one against the rest")
def lgb_one_against_rest() -> Made:
    return probabilities(lightgbm.LGBMClassifier(objective="multiclassova", **SMALL).fit(X, classes(X)))


@model("missing values, NaN")
def lgb_missing() -> Made:
    x = table(missing=0.3)
    return predictions(lightgbm.LGBMRegressor(**SMALL).fit(x, target(x)), x)


@model("missing values, zeros")
def lgb_zero_missing() -> Made:
    x = np.where(np.abs(X) < 0.3, 0, X)
    return predictions(lightgbm.LGBMRegressor(zero_as_missing=True, **SMALL).fit(x, target(X)), x)


@model("a sparse table: what is absent is zero", refused="sparse")
def lgb_sparse() -> Made:
    keep = np.random.default_rng(3).random(X.shape) < 0.3
    x = sparse.csr_matrix(np.where(keep, X, 0))
    return predictions(lightgbm.LGBMRegressor(**SMALL).fit(x, target(X)), x)


@model("early stopping in a wrapper")
def lgb_early() -> Made:
    y = np.random.default_rng(0).normal(size=ROWS) + X[:, 0]
    regressor = lightgbm.LGBMRegressor(**{**SMALL, "n_estimators": 200, "learning_rate": 0.5})
    stop = lightgbm.early_stopping(5, verbose=False)
    regressor.fit(X[:200], y[:200], eval_set=[(X[200:], y[200:])], callbacks=[stop])
    return predictions(regressor)


@model("early stopping in a Booster")
def lgb_early_booster() -> Made:
    y = np.random.default_rng(0).normal(size=ROWS) + X[:, 0]
    data = lightgbm.Dataset(X[:200], y[:200])
    held = data.create_valid(X[200:], y[200:])
    stop = lightgbm.early_stopping(5, verbose=False)
    booster = lightgbm.train({**PARAMS, "learning_rate": 0.5}, data, 200, valid_sets=[held], callbacks=[stop])
    return predictions(booster)


@model("dart")
def lgb_dart() -> Made:
    return predictions(lightgbm.LGBMRegressor(boosting_type="dart", **SMALL).fit(X, target(X)))


@model("linear trees")
def lgb_linear_trees() -> Made:
    return predictions(lightgbm.LGBMRegressor(linear_tree=True, **SMALL).fit(X, target(X)))


@model("random forest")
def lgb_forest() -> Made:
    more = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
    return predictions(lightgbm.LGBMRegressor(**more, **SMALL).fit(X, target(X)))


@model("gradient-based sampling, extra trees")
def lgb_goss() -> Made:
    more = {"data_sample_strategy": "goss", "extra_trees": True}
    return probabilities(lightgbm.LGBMClassifier(**more, **SMALL).fit(X, classes(X)))


@model("ranker")
def lgb_ranker() -> Made:
    counts = np.bincount(groups())
    return predictions(lightgbm.LGBMRanker(**SMALL).fit(X, classes(X), group=counts))


def asymmetric(labels: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    error = margin - labels
    weight = np.where(error < 0, 3.0, 1.0)
    return error * weight, weight


@model("a regressor with an objective of one's own")
def lgb_objective() -> Made:
    return predictions(lightgbm.LGBMRegressor(objective=asymmetric, **SMALL).fit(X, target(X)))


def logistic(labels: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chance = 1 / (1 + np.exp(-margin))
    return chance - labels, chance * (1 - chance)


@model("a classifier with an objective of one's own: raw scores for an answer")
def lgb_objective_classifier() -> Made:
    return probabilities(lightgbm.LGBMClassifier(objective=logistic, **SMALL).fit(X, classes(X, 2)))


@model("whole numbers as categories")
def lgb_categories() -> Made:
    x = X.copy()
    x[:, 7] = np.random.default_rng(5).integers(0, 6, ROWS)
    return predictions(
        lightgbm.LGBMRegressor(**SMALL).fit(x, target(x) + x[:, 7], categorical_feature=[7]), x
    )


@model("monotone constraints")
def lgb_monotone() -> Made:
    more = {"monotone_constraints": [1, 0, 0, 0, 0, 0, 0, -1]}
    return predictions(lightgbm.LGBMRegressor(**more, **SMALL).fit(X, target(X)))


@model("weights, initial scores and unbalanced classes")
def lgb_weights() -> Made:
    clf = lightgbm.LGBMClassifier(class_weight="balanced", **SMALL)
    return probabilities(clf.fit(X, X[:, 0] > 1, sample_weight=np.abs(X[:, 1])))


@model("a text file")
def lgb_file() -> Made:
    booster = lightgbm.train(PARAMS, lightgbm.Dataset(X, target(X)), 12)
    path = Path(tempfile.mkdtemp(prefix="zoo-")) / "model.txt"
    booster.save_model(path)
    loaded = lightgbm.Booster(model_file=path)
    return Made(path, X, lambda: {"predict": loaded.predict(X)})


class Sharpened(lightgbm.LGBMClassifier):
    """A subclass with an answer of its own."""

    def predict_proba(self, X: Any, *rest: Any, **more: Any) -> np.ndarray:
        chance = super().predict_proba(X, *rest, **more) ** 2
        return chance / chance.sum(1, keepdims=True)


@wrong("a subclass with its own predict_proba", "predict_proba")
def lgb_subclass() -> Made:
    return probabilities(Sharpened(**SMALL).fit(X, classes(X)))


@wrong("a CVBooster of five", "CVBooster")
def lgb_folds() -> Made:
    data = lightgbm.Dataset(X, target(X), free_raw_data=False)
    folds = lightgbm.cv(PARAMS, data, 12, nfold=3, stratified=False, return_cvbooster=True)["cvbooster"]
    return Made(folds, X, lambda: {"predict": np.mean(folds.predict(X), 0)})
