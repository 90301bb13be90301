"""CatBoost: losses, labels, categories, text, embeddings, growing policies, and what can't be kept."""

from __future__ import annotations

from typing import Any

import catboost
import numpy as np
import pandas as pd
from tree_data import ROWS, classes, groups, table, target
from zoo_case import Made, model, wrong

SMALL: dict[str, Any] = {
    "iterations": 25,
    "depth": 4,
    "verbose": 0,
    "random_seed": 0,
    "allow_writing_files": False,
}
X = table()
MISSING = table(missing=0.2)


def probabilities(clf: Any, x: Any = X) -> Made:
    def answer() -> dict[str, np.ndarray]:
        return {"predict_proba": clf.predict_proba(x), "predict": np.array(clf.predict(x).tolist())}

    return Made(clf, x, answer)


def predictions(regressor: Any, x: Any = X) -> Made:
    return Made(regressor, x, lambda: {"predict": regressor.predict(x)})


def words() -> pd.DataFrame:
    draw = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "height": X[:, 0],
            "bird": draw.choice(["tern", "gull", "auk", "Möwe"], ROWS),
            "ring": draw.integers(0, 9, ROWS),
            "season": pd.Categorical(draw.choice(["spring", "autumn"], ROWS)),
            "note": [" ".join(draw.choice(["wet", "dry", "loud", "calm", "far"], 5)) for _ in range(ROWS)],
        }
    )


@model("two classes")
def cat_binary() -> Made:
    return probabilities(catboost.CatBoostClassifier(**SMALL).fit(X, classes(X, 2)))


@model("string labels, three classes", quick=True)
def cat_strings() -> Made:
    labels = np.array(["tern", "gull", "auk"])[classes(X)]
    return probabilities(catboost.CatBoostClassifier(**SMALL).fit(X, labels))


@model("a probability threshold of one's own")
def cat_threshold() -> Made:
    clf = catboost.CatBoostClassifier(**SMALL).fit(X, classes(X, 2))
    clf.set_probability_threshold(0.8)
    return probabilities(clf)


@model("several labels a row")
def cat_labels() -> Made:
    clf = catboost.CatBoostClassifier(loss_function="MultiLogloss", **SMALL)
    return probabilities(clf.fit(X, (X[:, :3] > 0).astype(int)))


@model("regression with missing values")
def cat_regression() -> Made:
    return predictions(catboost.CatBoostRegressor(**SMALL).fit(MISSING, target(MISSING)), MISSING)


@model("counts: predict gives the exponent")
def cat_poisson() -> Made:
    regressor = catboost.CatBoostRegressor(loss_function="Poisson", **SMALL)
    return predictions(regressor.fit(X, np.abs(np.round(target(X)))))


@model("regression with its uncertainty")
def cat_uncertain() -> Made:
    regressor = catboost.CatBoostRegressor(loss_function="RMSEWithUncertainty", **SMALL)
    return predictions(regressor.fit(X, target(X)))


@model("three quantiles at once")
def cat_quantiles() -> Made:
    regressor = catboost.CatBoostRegressor(loss_function="MultiQuantile:alpha=0.1,0.5,0.9", **SMALL)
    return predictions(regressor.fit(X, target(X)))


@model("stopped early, on a part of the rows")
def cat_early() -> Made:
    regressor = catboost.CatBoostRegressor(**{**SMALL, "iterations": 200, "learning_rate": 0.8})
    regressor.fit(X[:200], target(X)[:200], eval_set=(X[200:], target(X)[200:]), early_stopping_rounds=3)
    return predictions(regressor)


@model("a ranker")
def cat_ranker() -> Made:
    pool = catboost.Pool(X, target(X), group_id=groups())
    return predictions(catboost.CatBoostRanker(loss_function="YetiRank", **SMALL).fit(pool))


@model("trees that grow leaf by leaf")
def cat_lossguide() -> Made:
    return predictions(catboost.CatBoostRegressor(grow_policy="Lossguide", **SMALL).fit(X, target(X)))


@model("strings, whole numbers and categories on a DataFrame")
def cat_categories() -> Made:
    x = words().drop(columns="note")
    clf = catboost.CatBoostClassifier(cat_features=["bird", "ring", "season"], **SMALL)
    return probabilities(clf.fit(x, (x.bird == "tern").astype(int) + (x.ring > 4)), x)


@model("text and categories on a DataFrame")
def cat_text() -> Made:
    x = words()
    clf = catboost.CatBoostClassifier(
        cat_features=["bird", "ring", "season"], text_features=["note"], **SMALL
    )
    return probabilities(clf.fit(x, x.note.str.contains("loud").astype(int)), x)


@model("embeddings in a DataFrame")
def cat_embeddings() -> Made:
    x = pd.DataFrame({"a": X[:, 0], "vector": list(X[:, 1:5])})
    clf = catboost.CatBoostClassifier(embedding_features=["vector"], **SMALL)
    return probabilities(clf.fit(x, classes(X, 2)), x)


@model("a Pool of numbers")
def cat_pool() -> Made:
    regressor = catboost.CatBoostRegressor(**SMALL).fit(catboost.Pool(X, target(X)))
    return predictions(regressor, catboost.Pool(X))


@model("two models, summed by CatBoost")
def cat_sum() -> Made:
    both = [catboost.CatBoostRegressor(**{**SMALL, "random_seed": s}).fit(X, target(X)) for s in (1, 2)]
    return predictions(catboost.sum_models(both, weights=[0.5, 0.5]))


@model("a loss of one's own, in Python")
def cat_own_loss() -> Made:
    class Squared:
        def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> list[tuple[float, float]]:
            return [(targets[k] - approxes[k], -1.0) for k in range(len(targets))]

    regressor = catboost.CatBoostRegressor(loss_function=Squared(), eval_metric="RMSE", **SMALL)
    return predictions(regressor.fit(X, target(X)))


@wrong("a Pool of strings, which does not give them back", "does not give its values back")
def cat_pool_words() -> Made:
    x = words().drop(columns="note")
    pool = catboost.Pool(x, (x.ring > 4).astype(int), cat_features=["bird", "ring", "season"])
    return probabilities(catboost.CatBoostClassifier(**SMALL).fit(pool), pool)


@wrong("a predict of one's own", "its own predict")
def cat_own_predict() -> Made:
    class Rounded(catboost.CatBoostRegressor):
        def predict(self, *given: Any, **more: Any) -> Any:
            return np.round(super().predict(*given, **more))

    return predictions(Rounded(**SMALL).fit(X, target(X)))
