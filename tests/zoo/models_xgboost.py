"""XGBoost on plain arrays: wrappers and Boosters, objectives, boosters, early stopping. No pandas."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from scipy import sparse
from tree_data import ROWS, classes, groups, table, target
from zoo_case import Made, model, wrong

SMALL: dict[str, Any] = {"n_estimators": 12, "max_depth": 4, "n_jobs": 1, "random_state": 0}
X = table()


def probabilities(clf: Any, x: Any = X) -> Made:
    return Made(clf, x, lambda: {"predict_proba": clf.predict_proba(x)})


def predictions(regressor: Any, x: Any = X) -> Made:
    return Made(regressor, x, lambda: {"predict": regressor.predict(x)})


def trained(params: dict[str, Any], matrix: xgboost.DMatrix, x: Any = X, **more: Any) -> Made:
    """A Booster, asked through a DMatrix."""
    booster = xgboost.train({"max_depth": 4, "nthread": 1, **params}, matrix, 12, **more)
    return Made(booster, x, lambda: {"predict": booster.predict(xgboost.DMatrix(x))})


@model("two classes")
def xgb_binary() -> Made:
    return probabilities(xgboost.XGBClassifier(**SMALL).fit(X, classes(X, 2)))


@model("four classes")
def xgb_classes() -> Made:
    return probabilities(xgboost.XGBClassifier(**SMALL).fit(X, classes(X, 4)))


@model("multi:softmax, asked for probabilities", quick=True)
def xgb_softmax() -> Made:
    return probabilities(xgboost.XGBClassifier(objective="multi:softmax", **SMALL).fit(X, classes(X)))


@model("regression")
def xgb_regression() -> Made:
    return predictions(xgboost.XGBRegressor(**SMALL).fit(X, target(X)))


@model("several targets, one tree each")
def xgb_targets() -> Made:
    y = np.stack([target(X), target(-X), X[:, 4]], 1)
    return predictions(xgboost.XGBRegressor(**SMALL).fit(X, y))


@model("several targets in one tree")
def xgb_vector_leaves() -> Made:
    y = np.stack([target(X), target(-X)], 1)
    return predictions(
        xgboost.XGBRegressor(multi_strategy="multi_output_tree", tree_method="hist", **SMALL).fit(X, y)
    )


@model("several labels at once")
def xgb_labels() -> Made:
    y = np.stack([X[:, 0] > 0, X[:, 1] > 0.5], 1).astype(int)
    return probabilities(xgboost.XGBClassifier(**SMALL).fit(X, y))


@model("missing values, NaN")
def xgb_missing() -> Made:
    x = table(missing=0.3)
    return predictions(xgboost.XGBRegressor(**SMALL).fit(x, target(x)), x)


@model("missing values, -999")
def xgb_missing_number() -> Made:
    x = np.nan_to_num(table(missing=0.3), nan=-999.0)
    return predictions(xgboost.XGBRegressor(missing=-999.0, **SMALL).fit(x, target(x)), x)


def holes() -> Any:
    """A sparse table, whose absent elements are missing."""
    x = table()
    keep = np.random.default_rng(3).random(x.shape) < 0.3
    return sparse.csr_matrix(np.where(keep, x, 0))


@model("a sparse table: what is absent is missing", refused="sparse", quick=True)
def xgb_sparse() -> Made:
    x = holes()
    return predictions(xgboost.XGBRegressor(**SMALL).fit(x, target(X)), x)


@model("a Booster on a sparse table", refused="sparse")
def xgb_sparse_booster() -> Made:
    x = holes()
    return trained({}, xgboost.DMatrix(x, target(X)), x)


@model("float64 values between two of float32")
def xgb_float64() -> Made:
    x = X.astype(np.float64) + 1e-9
    return predictions(xgboost.XGBRegressor(**SMALL).fit(x, target(x)), x)


@model("whole numbers")
def xgb_integers() -> Made:
    x = (X * 10).astype(np.int64)
    return predictions(xgboost.XGBRegressor(**SMALL).fit(x, target(X)), x)


@model("early stopping; the wrapper answers with its best trees", quick=True)
def xgb_early() -> Made:
    y = np.random.default_rng(0).normal(size=ROWS) + X[:, 0]
    settings = {**SMALL, "n_estimators": 200, "learning_rate": 0.6}
    regressor = xgboost.XGBRegressor(early_stopping_rounds=3, **settings)
    regressor.fit(X[:200], y[:200], eval_set=[(X[200:], y[200:])], verbose=False)
    assert regressor.best_iteration + 4 == regressor.get_booster().num_boosted_rounds()
    return predictions(regressor)


@model("early stopping; the Booster answers with all")
def xgb_early_booster() -> Made:
    y = np.random.default_rng(0).normal(size=ROWS) + X[:, 0]
    held = xgboost.DMatrix(X[200:], y[200:])
    return trained(
        {"eta": 0.6},
        xgboost.DMatrix(X[:200], y[:200]),
        evals=[(held, "held")],
        early_stopping_rounds=3,
        verbose_eval=False,
    )


@model("dart")
def xgb_dart() -> Made:
    return predictions(xgboost.XGBRegressor(booster="dart", rate_drop=0.2, **SMALL).fit(X, target(X)))


@model("a dart Booster")
def xgb_dart_booster() -> Made:
    return trained({"booster": "dart", "rate_drop": 0.2}, xgboost.DMatrix(X, target(X)))


@model("linear booster")
def xgb_linear() -> Made:
    settings = {"n_estimators": 12, "n_jobs": 1, "booster": "gblinear"}
    return predictions(xgboost.XGBRegressor(**settings).fit(X, target(X)))


@model("random forest")
def xgb_forest() -> Made:
    return probabilities(xgboost.XGBRFClassifier(**SMALL).fit(X, classes(X)))


@model("parallel trees in each round")
def xgb_parallel_trees() -> Made:
    return probabilities(
        xgboost.XGBClassifier(num_parallel_tree=3, subsample=0.7, **SMALL).fit(X, classes(X, 2))
    )


@model("ranker")
def xgb_ranker() -> Made:
    return predictions(xgboost.XGBRanker(**SMALL).fit(X, classes(X), qid=groups()))


@model("survival, accelerated failure times")
def xgb_aft() -> Made:
    times = np.exp(target(X) / 4)
    matrix = xgboost.DMatrix(X)
    matrix.set_float_info("label_lower_bound", times)
    matrix.set_float_info("label_upper_bound", np.where(X[:, 5] > 0, times, np.inf))
    return trained({"objective": "survival:aft", "aft_loss_distribution": "normal"}, matrix)


@model("survival, Cox")
def xgb_cox() -> Made:
    times = np.exp(target(X) / 4) * np.where(X[:, 5] > 0, 1, -1)
    return trained({"objective": "survival:cox"}, xgboost.DMatrix(X, times))


def squared(margin: np.ndarray, matrix: xgboost.DMatrix) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and hessian of a squared error that weighs what is too low more."""
    error = margin - matrix.get_label()
    weight = np.where(error < 0, 3.0, 1.0)
    return error * weight, weight


@model("a Booster trained on an objective of one's own")
def xgb_objective_booster() -> Made:
    return trained({}, xgboost.DMatrix(X, target(X)), obj=squared)


def logistic(labels: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chance = 1 / (1 + np.exp(-margin))
    return chance - labels, chance * (1 - chance)


@model("a classifier with an objective of one's own")
def xgb_objective() -> Made:
    return probabilities(xgboost.XGBClassifier(objective=logistic, **SMALL).fit(X, classes(X, 2)))


@model("quantiles, three at once")
def xgb_quantiles() -> Made:
    alphas = np.array([0.1, 0.5, 0.9])
    settings = {**SMALL, "objective": "reg:quantileerror", "quantile_alpha": alphas}
    return predictions(xgboost.XGBRegressor(**settings).fit(X, target(X)))


@model("Poisson counts")
def xgb_poisson() -> Made:
    y = np.random.default_rng(1).poisson(np.exp(X[:, 0] / 2))
    return predictions(xgboost.XGBRegressor(objective="count:poisson", **SMALL).fit(X, y))


@model("hinge: classes of 0 and 1 from a regressor's method")
def xgb_hinge() -> Made:
    return trained({"objective": "binary:hinge"}, xgboost.DMatrix(X, classes(X, 2)))


@model("some rounds of a Booster")
def xgb_slice() -> Made:
    booster = trained({}, xgboost.DMatrix(X, target(X))).model
    first = booster[:5]
    return Made(first, X, lambda: {"predict": first.predict(xgboost.DMatrix(X))})


@model("a Booster asked in place, which counts 0 as missing", refused=("missing",))
def xgb_booster_missing() -> Made:
    x = np.where(np.abs(X) < 0.3, 0, X)
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(x, target(X), missing=0.0), 12)
    return Made(booster, x, lambda: {"predict": booster.predict(xgboost.DMatrix(x))})


@model("a Booster with feature names, asked with a named matrix")
def xgb_names_booster() -> Made:
    names = [f"size, {k} °" for k in range(8)]
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(X, target(X), feature_names=names), 12)
    return Made(booster, X, lambda: {"predict": booster.predict(xgboost.DMatrix(X, feature_names=names))})


@model("the wrapper's own Booster")
def xgb_get_booster() -> Made:
    booster = xgboost.XGBClassifier(**SMALL).fit(X, classes(X)).get_booster()
    return Made(booster, X, lambda: {"predict": booster.predict(xgboost.DMatrix(X))})


def saved_file(suffix: str) -> Made:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(X, target(X)), 12)
    path = Path(tempfile.mkdtemp(prefix="zoo-")) / f"model{suffix}"
    booster.save_model(path)
    loaded = xgboost.Booster(model_file=path)
    return Made(path, X, lambda: {"predict": loaded.predict(xgboost.DMatrix(X))})


@model("a file of JSON")
def xgb_file_json() -> Made:
    return saved_file(".json")


@model("a file of UBJSON")
def xgb_file_ubj() -> Made:
    return saved_file(".ubj")


class Calibrated(xgboost.XGBClassifier):
    """A subclass with an answer of its own."""

    def predict_proba(self, X: Any, **more: Any) -> np.ndarray:
        chance = super().predict_proba(X, **more) ** 2
        return chance / chance.sum(1, keepdims=True)


@wrong("a subclass with its own predict_proba", "predict_proba", quick=True)
def xgb_subclass() -> Made:
    return probabilities(Calibrated(**SMALL).fit(X, classes(X)))


@wrong("an object whose predict_proba was replaced", "predict_proba")
def xgb_replaced() -> Made:
    clf = xgboost.XGBClassifier(**SMALL).fit(X, classes(X))
    own = clf.predict_proba
    clf.predict_proba = lambda x, **more: own(x, **more)[:, ::-1]
    return probabilities(clf)


@model("a DMatrix for inputs")
def xgb_matrix_given() -> Made:
    right = xgb_regression()
    booster = right.model.get_booster()
    matrix = xgboost.DMatrix(X)
    return Made(booster, matrix, lambda: {"predict": booster.predict(matrix)})
