"""CatBoost does what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

catboost = pytest.importorskip("catboost")

from support.catboost_models import mixed, numeric, numeric_rows, table_of_words  # noqa: E402

from timeproof.frameworks.catboost import FRAMEWORK, CatBoostOptions  # noqa: E402
from timeproof.testing.conformance import FrameworkTests, Sample  # noqa: E402


class TestCatBoost(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        folder.mkdir(exist_ok=True)
        classifier, rows = numeric()
        classifier.save_model(str(folder / "model.cbm"))
        classifier.save_model(str(folder / "model.json"), format="json")
        words, table = mixed()
        return {
            "classifier": Sample(classifier, rows, CatBoostOptions(onnx=False)),
            "categories and text": Sample(words, table),
            "file": Sample(folder / "model.cbm", rows),
            "json": Sample(folder / "model.json", rows),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        classifier, rows = numeric()
        words, table = mixed()
        pool = catboost.Pool(table_of_words()[["age", "city"]], cat_features=["city"])
        return {
            "not fitted": Sample(catboost.CatBoostClassifier(), rows),
            "one row": Sample(classifier, rows[0]),
            "another format": Sample(classifier, rows, CatBoostOptions(format="pickle")),
            "json of a model with text": Sample(words, table, CatBoostOptions(format="json")),
            "a category that is missing": Sample(words, table.assign(city=None)),
            "a Pool of words": Sample(words, pool),
            "a Pool with a baseline": Sample(
                classifier, catboost.Pool(numeric_rows(), baseline=np.zeros((len(numeric_rows()), 3)))
            ),
        }
