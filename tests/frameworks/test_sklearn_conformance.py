"""scikit-learn does what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from support.sklearn_models import KINDS, NUMBERS, TARGET, frame, pipeline

from timeproof.frameworks.sklearn import FRAMEWORK, SklearnOptions
from timeproof.testing.conformance import FrameworkTests, Sample


class TestSklearn(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        folder.mkdir(exist_ok=True)
        forest = RandomForestClassifier(4, random_state=0).fit(NUMBERS, KINDS)
        skops.io.dump(forest, folder / "model.skops")
        return {
            "regression": Sample(LinearRegression().fit(NUMBERS, TARGET), NUMBERS),
            "forest": Sample(forest, NUMBERS),
            "table": Sample(pipeline(LogisticRegression()), frame()),
            "file": Sample(folder / "model.skops", NUMBERS),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        own = make_pipeline(FunctionTransformer(lambda x: x + 1), LinearRegression())
        return {
            "not fitted": Sample(LinearRegression(), NUMBERS),
            "pickle": Sample(
                LinearRegression().fit(NUMBERS, TARGET), NUMBERS, SklearnOptions(format="pickle")
            ),
            "own function": Sample(own.fit(NUMBERS, TARGET), NUMBERS),
            "answers while it is fitted": Sample(TSNE(perplexity=5).fit(NUMBERS), NUMBERS),
        }
