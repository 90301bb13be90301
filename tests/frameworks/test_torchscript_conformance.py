"""TorchScript modules do what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from support.script_modules import ROWS, increment, scripted, traced

from timeproof.frameworks.torchscript import FRAMEWORK, TorchScriptOptions
from timeproof.testing.conformance import FrameworkTests, Sample


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:.*torch.jit")
class TestTorchScript(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        folder.mkdir(exist_ok=True)
        torch.jit.save(traced(), folder / "m.pt")
        return {
            "scripted, by name": Sample(scripted(), {"x": ROWS}),
            "a file": Sample(folder / "m.pt", ROWS),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        return {
            "a format": Sample(scripted(), ROWS, TorchScriptOptions(format="onnx")),
            "a function": Sample(increment(), ROWS),
            "another name": Sample(scripted(), {"rows": ROWS}),
        }
