"""LightGBM does what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lightgbm
from support.tiny_models import ROWS, leaves

from timeproof.frameworks.lightgbm import FRAMEWORK, LightGBMOptions
from timeproof.testing.conformance import FrameworkTests, Sample


class TestLightGBM(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        classifier, rows = leaves()
        folder.mkdir(exist_ok=True)
        classifier.booster_.save_model(str(folder / "model.txt"))
        return {
            "classifier": Sample(classifier, rows),
            "booster": Sample(classifier.booster_, rows),
            "file": Sample(folder / "model.txt", rows),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        classifier, rows = leaves()
        return {
            "not fitted": Sample(lightgbm.LGBMClassifier(), rows),
            "one row": Sample(classifier, ROWS[0]),
            "pickle": Sample(classifier, rows, LightGBMOptions(format="pickle")),
        }
