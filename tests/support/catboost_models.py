"""Small CatBoost models, made in a second; without files that CatBoost leaves beside itself."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

RNG = np.random.default_rng(20261201)
COUNT = 240
HOW: dict[str, Any] = {
    "iterations": 8,
    "depth": 3,
    "thread_count": 1,
    "verbose": 0,
    "allow_writing_files": False,
    "random_seed": 1,
}
_NUMBERS = RNG.normal(size=(COUNT, 5)).astype(np.float32)
_NUMBERS[RNG.random(_NUMBERS.shape) < 0.1] = np.nan
CLASSES = np.digitize(np.nan_to_num(_NUMBERS[:, 0]), [-0.5, 0.5])
REAL = np.nan_to_num(_NUMBERS[:, 0] * 3 + _NUMBERS[:, 1]).astype(np.float64)


def numeric_rows() -> Any:
    """Numbers with missing values, float32 `[20, 5]`."""
    return _NUMBERS[:20].copy()


@cache
def numeric(**more: Any) -> tuple[Any, Any]:
    """A classifier of three classes, and rows for it."""
    import catboost

    model = catboost.CatBoostClassifier(**{**HOW, **more})
    return model.fit(_NUMBERS, CLASSES), numeric_rows()


@cache
def regressor(**more: Any) -> tuple[Any, Any]:
    import catboost

    return catboost.CatBoostRegressor(**{**HOW, **more}).fit(_NUMBERS, REAL), numeric_rows()


def table_of_words(rows: int = COUNT) -> Any:
    """A DataFrame: numbers with missing values, strings, categories, whole numbers, booleans, text."""
    import pandas as pd

    draw = np.random.default_rng(7)
    table = pd.DataFrame(
        {
            "age": draw.normal(size=COUNT),
            "city": draw.choice(["Rom", "Köln", "Łódź"], COUNT),
            "floor": draw.integers(0, 4, COUNT),
            "kind": pd.Categorical(draw.choice(["x", "y", "z"], COUNT)),
            "paid": draw.random(COUNT) > 0.5,
            "review": [" ".join(draw.choice(["good", "bad", "fine", "ugly"], 4)) for _ in range(COUNT)],
        }
    )
    table.loc[::7, "age"] = np.nan
    return table.head(rows)


@cache
def mixed(**more: Any) -> tuple[Any, Any]:
    """A classifier of two named classes with categories and text, and a table for it."""
    import catboost

    table = table_of_words()
    votes = (table.city == "Rom").astype(int) + (table.floor > 1) + table.paid + (table.kind == "x")
    target = np.where(votes + table.review.str.contains("good good") > 2, "yes", "no")
    how = {"cat_features": ["city", "floor", "kind", "paid"], "text_features": ["review"], **HOW, **more}
    return catboost.CatBoostClassifier(**how).fit(table, target), table.head(20)
