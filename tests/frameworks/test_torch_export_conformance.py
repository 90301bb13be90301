"""Exported programs do what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from support.exported_programs import ROWS, SCALE, Scaled, exported, saved_file

from timeproof.frameworks.torch_export import FRAMEWORK, TorchExportOptions
from timeproof.testing.conformance import FrameworkTests, Sample


class TestTorchExport(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        folder.mkdir(exist_ok=True)
        return {
            "by name": Sample(exported(), {"scale": SCALE, "x": ROWS[:2]}),
            "a file's own inputs": Sample(saved_file(folder / "m.pt2"), None),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        (folder / "empty.pt2").write_bytes(b"")
        fixed = torch.export.export(Scaled(), (torch.ones(2, 4),), {"scale": torch.ones(3)})
        return {
            "a format": Sample(exported(), None, TorchExportOptions(format="onnx")),
            "a fixed batch": Sample(fixed, (ROWS, np.ones(3, np.float32))),
            "float64": Sample(exported(), (ROWS.astype(float), np.ones(3, np.float32))),
            "one input of two": Sample(exported(), {"x": ROWS}),
            "no program": Sample(folder / "empty.pt2", ROWS),
        }
