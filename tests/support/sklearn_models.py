"""Small scikit-learn models, fitted in milliseconds, and the tables that they are asked with."""

from __future__ import annotations

from typing import Any

import numpy as np

RNG = np.random.default_rng(20260311)
ROWS = 40
NUMBERS = RNG.normal(size=(ROWS, 3))
KINDS = np.array(["tern", "gull", "auk"])[np.digitize(NUMBERS[:, 0], [-0.5, 0.5])]
TARGET = NUMBERS[:, 0] * 2 - NUMBERS[:, 1] ** 2
WORDS = [f"the {bird} eats {count} fish" for bird, count in zip(KINDS, range(ROWS), strict=True)]


def frame() -> Any:
    """A table of numbers, text with gaps, a category, whole numbers with gaps, and booleans."""
    import pandas

    places = np.array(["cliff", "beach", None, "dune"], dtype=object)
    return pandas.DataFrame(
        {
            "length": NUMBERS[:, 0],
            "weight": np.where(NUMBERS[:, 1] > 1, np.nan, NUMBERS[:, 1]),
            "place": pandas.Series(places[np.arange(ROWS) % 4], dtype=object),
            "size": pandas.Categorical(np.array(["s", "m", "l"])[np.arange(ROWS) % 3]),
            "eggs": pandas.array([None if k % 9 == 0 else k % 5 for k in range(ROWS)], dtype="Int64"),
            "ringed": NUMBERS[:, 2] > 0,
        }
    )


def columns() -> Any:
    """What makes numbers of such a table."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["length", "weight"]),
        (OneHotEncoder(handle_unknown="ignore"), ["place", "size"]),
        ("passthrough", ["ringed"]),
    )


def pipeline(last: Any) -> Any:
    """A fitted Pipeline that takes the table."""
    from sklearn.pipeline import make_pipeline

    return make_pipeline(columns(), last).fit(frame(), KINDS)
