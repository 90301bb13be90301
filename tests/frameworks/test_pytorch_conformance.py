"""PyTorch does what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from support.tiny_models import ROWS, net

from timeproof.frameworks.pytorch import FRAMEWORK, PyTorchOptions
from timeproof.testing.conformance import FrameworkTests, Sample


class TestPyTorch(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        tiny = net()
        layer = {"in_features": 4, "out_features": 2}
        return {
            "source": Sample(tiny["model"], tiny["inputs"], tiny["options"]),
            "layers": Sample(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Tanh()), ROWS),
            "library": Sample(torch.nn.Linear(**layer), ROWS, PyTorchOptions(init_args=layer, epoch=3)),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        (folder / "weights.pth").write_bytes(b"")
        return {
            "no arguments": Sample(torch.nn.TransformerEncoderLayer(4, 2), ROWS),
            "a format": Sample(torch.nn.ReLU(), ROWS, PyTorchOptions(format="onnx")),
            "file": Sample(folder / "weights.pth", ROWS),
        }
