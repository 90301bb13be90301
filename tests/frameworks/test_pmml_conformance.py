"""PMML does what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from support.field_documents import ROWS, pmml, tree, verified

from timeproof.frameworks.pmml import FRAMEWORK, PmmlOptions
from timeproof.testing.conformance import FrameworkTests, Sample


class TestPmml(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        folder.mkdir(exist_ok=True)
        path = folder / "model.pmml"
        path.write_bytes(verified())
        other = folder / "named.xml"
        other.write_bytes(pmml(tree()))
        return {"path": Sample(str(path), ROWS), "file": Sample(path, ROWS), "other": Sample(other, ROWS)}

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        path, cut, network = (folder / name for name in ("model.pmml", "cut.pmml", "network.pmml"))
        path.write_bytes(pmml(tree()))
        cut.write_bytes(pmml(tree())[:-30])
        network.write_bytes(pmml('<NeuralNetwork functionName="regression"/>'))
        return {
            "other names": Sample(path, {"x": ROWS["x"], "z": ROWS["c"]}),
            "a column missing": Sample(path, np.ones((3, 1))),
            "a format": Sample(path, ROWS, PmmlOptions(format="json")),
            "cut": Sample(cut, ROWS),
            "another model": Sample(network, ROWS),
        }
