"""PFA does what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from support.field_documents import pfa

from timeproof.frameworks.pfa import FRAMEWORK, PfaOptions
from timeproof.testing.conformance import FrameworkTests, Sample

ROWS = {"x": np.array([1.0, 2.5])}


class TestPfa(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        folder.mkdir(exist_ok=True)
        path, other = folder / "model.pfa", folder / "named.json"
        path.write_bytes(pfa())
        other.write_bytes(pfa())
        return {"path": Sample(str(path), ROWS), "file": Sample(path, ROWS), "other": Sample(other, ROWS)}

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        path, cut, folding = (folder / name for name in ("model.pfa", "cut.pfa", "fold.pfa"))
        path.write_bytes(pfa())
        cut.write_bytes(pfa()[:-30])
        folding.write_bytes(pfa(method="fold"))
        return {
            "other names": Sample(path, {"z": ROWS["x"]}),
            "two columns": Sample(path, np.ones((3, 2))),
            "a format": Sample(path, ROWS, PfaOptions(format="json")),
            "cut": Sample(cut, ROWS),
            "another method": Sample(folding, ROWS),
        }
