"""XGBoost does what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xgboost
from support.tiny_models import LABELS, ROWS, forest

from timeproof.frameworks.xgboost import FRAMEWORK, XGBoostOptions
from timeproof.testing.conformance import FrameworkTests, Sample


class TestXGBoost(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        classifier, rows = forest()
        booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(ROWS, LABELS.astype(np.float32)), 3)
        folder.mkdir(exist_ok=True)
        booster.save_model(folder / "model.json")
        return {
            "classifier": Sample(classifier, rows),
            "booster": Sample(booster, rows, XGBoostOptions(format="ubj")),
            "file": Sample(folder / "model.json", rows),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        classifier, rows = forest()
        return {
            "not fitted": Sample(xgboost.XGBClassifier(), rows),
            "two inputs": Sample(classifier, {"a": rows, "b": rows}),
            "pickle": Sample(classifier, rows, XGBoostOptions(format="pickle")),
        }
