"""The plugin does what every framework must do. It runs where the plugin is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from timeproof_toy import FRAMEWORK, ToyOptions
from timeproof_toy.linear import LinearModel

from timeproof.testing.conformance import FrameworkTests, Sample

ROWS = np.linspace(-1, 1, 12).reshape(4, 3)


class TestToy(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        model = LinearModel([[0.5, 1.0], [0.25, -2.0], [3.0, 0.1]], [0.1, 0.2])
        folder.mkdir(exist_ok=True)
        model.save(folder / "model.json")
        return {
            "plain": Sample(model, ROWS),
            "scaled": Sample(model, ROWS, ToyOptions(scale=2.5)),
            "file": Sample(folder / "model.json", ROWS),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        return {"not trained": Sample(LinearModel([], []), ROWS)}
