"""Trees on DataFrames, and inside scikit-learn's pipelines: names, orders, categories, types, labels."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas
import xgboost
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler
from tree_data import ROWS, classes, groups, table, target
from zoo_case import Made, model, wrong

XGB: dict[str, Any] = {"n_estimators": 12, "max_depth": 4, "n_jobs": 1, "random_state": 0}
LGB: dict[str, Any] = {"n_estimators": 12, "num_leaves": 15, "n_jobs": 1, "random_state": 0, "verbose": -1}
NAMES = ["age", "height", "weight", "income", "distance", "speed", "noise", "height 2"]
X = table()


def frame() -> pandas.DataFrame:
    return pandas.DataFrame(X, columns=NAMES)


def mixed() -> pandas.DataFrame:
    """Floats, whole numbers and booleans, as a CSV file gives them."""
    data = frame()
    data["age"] = (data["age"] * 10 + 40).astype("int64")
    data["speed"] = data["speed"] > 0
    data["income"] = data["income"].astype("float64")
    return data


def categories() -> pandas.DataFrame:
    data = frame()
    town = np.random.default_rng(5).integers(0, 5, ROWS)
    data["town"] = pandas.Categorical(np.array(["Bern", "Genf", "Chur", "Sion", "Zug"])[town])
    return data


def predictions(regressor: Any, x: Any) -> Made:
    return Made(regressor, x, lambda: {"predict": regressor.predict(x)})


def probabilities(clf: Any, x: Any) -> Made:
    return Made(clf, x, lambda: {"predict_proba": clf.predict_proba(x)})


@model("XGBoost on a DataFrame")
def xgb_frame() -> Made:
    return predictions(xgboost.XGBRegressor(**XGB).fit(frame(), target(X)), frame())


@wrong("XGBoost, columns reversed: the library itself refuses", "column", "feature", "name")
def xgb_reversed_columns() -> Made:
    clf = xgboost.XGBClassifier(**XGB).fit(frame(), classes(X))
    return probabilities(clf, frame()[NAMES[::-1]])


@wrong("XGBoost, a column missing: the library itself refuses", "column", "feature", "name")
def xgb_missing_column() -> Made:
    regressor = xgboost.XGBRegressor(**XGB).fit(frame(), target(X))
    return predictions(regressor, frame()[[*NAMES[:7]]])


@model("LightGBM on a DataFrame")
def lgb_frame() -> Made:
    return predictions(lightgbm.LGBMRegressor(**LGB).fit(frame(), target(X)), frame())


@model("LightGBM, columns reversed: it goes by position", refused=("column", "feature", "name"))
def lgb_reversed_columns() -> Made:
    clf = lightgbm.LGBMClassifier(**LGB).fit(frame(), classes(X))
    return probabilities(clf, frame()[NAMES[::-1]])


@model("XGBoost on columns of several types", refused="")
def xgb_mixed_columns() -> Made:
    return predictions(xgboost.XGBRegressor(**XGB).fit(mixed(), target(X)), mixed())


@model("LightGBM on columns of several types", refused="")
def lgb_mixed_columns() -> Made:
    return predictions(lightgbm.LGBMRegressor(**LGB).fit(mixed(), target(X)), mixed())


@model("XGBoost with categories", refused="categor")
def xgb_categories() -> Made:
    data = categories()
    y = target(X) + data["town"].cat.codes.to_numpy()
    return predictions(xgboost.XGBRegressor(enable_categorical=True, **XGB).fit(data, y), data)


@model("XGBoost with categories, asked with a frame of fewer", refused="categor")
def xgb_fewer_categories() -> Made:
    data = categories()
    y = target(X) + data["town"].cat.codes.to_numpy() * 2
    regressor = xgboost.XGBRegressor(enable_categorical=True, **XGB).fit(data, y)
    some = data[data["town"].isin(["Chur", "Zug"])].copy()
    some["town"] = some["town"].cat.remove_unused_categories()
    return predictions(regressor, some)


@model("LightGBM with categories", refused="categor")
def lgb_categories_frame() -> Made:
    data = categories()
    y = target(X) + data["town"].cat.codes.to_numpy()
    return predictions(lightgbm.LGBMRegressor(**LGB).fit(data, y), data)


@model("LightGBM with categories, asked with a frame of fewer", refused="categor")
def lgb_fewer_categories() -> Made:
    data = categories()
    y = target(X) + data["town"].cat.codes.to_numpy() * 2
    regressor = lightgbm.LGBMRegressor(**LGB).fit(data, y)
    some = data[data["town"].isin(["Chur", "Zug"])].copy()
    some["town"] = some["town"].cat.remove_unused_categories()
    return predictions(regressor, some)


@model("XGBoost on nullable columns", refused="")
def xgb_nullable() -> Made:
    data = frame().convert_dtypes()
    data.loc[::7, "age"] = pandas.NA
    return predictions(xgboost.XGBRegressor(**XGB).fit(data, target(X)), data)


@model("XGBoost on labels that an encoder made of strings")
def xgb_encoded_labels() -> Made:
    labels = LabelEncoder().fit_transform(np.array(["tern", "gull", "auk"])[classes(X)])
    return probabilities(xgboost.XGBClassifier(**XGB).fit(frame(), labels), frame())


@model("XGBoost, early stopping, on a DataFrame")
def xgb_frame_early() -> Made:
    y = np.random.default_rng(0).normal(size=ROWS) + X[:, 0]
    data = frame()
    settings = {**XGB, "n_estimators": 200, "learning_rate": 0.6}
    regressor = xgboost.XGBRegressor(early_stopping_rounds=3, **settings)
    regressor.fit(data[:200], y[:200], eval_set=[(data[200:], y[200:])], verbose=False)
    return predictions(regressor, data)


@model("XGBoost's ranker, qid among the columns", refused="")
def xgb_frame_ranker() -> Made:
    data = frame().assign(qid=groups())
    return predictions(xgboost.XGBRanker(**XGB).fit(data, classes(X)), data)


@model("LightGBM's ranker on a DataFrame")
def lgb_frame_ranker() -> Made:
    data = frame()
    ranker = lightgbm.LGBMRanker(**LGB).fit(data, classes(X), group=np.bincount(groups()))
    return predictions(ranker, data)


@model("a Booster of LightGBM with pandas' categories", refused="categor")
def lgb_booster_categories() -> Made:
    data = categories()
    y = target(X) + data["town"].cat.codes.to_numpy()
    params = {"num_leaves": 15, "num_threads": 1, "verbose": -1}
    return predictions(lightgbm.train(params, lightgbm.Dataset(data, y), 12), data)


@model("the last step of a pipeline, on what the steps before gave")
def pipeline_booster() -> Made:
    pipe = make_pipeline(StandardScaler(), xgboost.XGBClassifier(**XGB)).fit(X, classes(X))
    x = pipe[:-1].transform(X)
    return Made(pipe[-1], x, lambda: {"predict_proba": pipe.predict_proba(X)})


@model("the last step of a pipeline of DataFrames")
def pipeline_frame_booster() -> Made:
    pipe = make_pipeline(StandardScaler(), lightgbm.LGBMRegressor(**LGB)).set_output(transform="pandas")
    pipe.fit(frame(), target(X))
    x = pipe[:-1].transform(frame())
    return Made(pipe[-1], x, lambda: {"predict": pipe.predict(frame())})
