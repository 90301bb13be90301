"""ONNX does what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from support.tiny_models import ROWS, graph

from timeproof.frameworks.onnx import FRAMEWORK, OnnxOptions
from timeproof.testing.conformance import FrameworkTests, Sample


class TestOnnx(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        folder.mkdir(exist_ok=True)
        path, inputs = graph(folder)
        return {
            "model": Sample(onnx.load(path), inputs, OnnxOptions(graph_optimization="all")),
            "bytes": Sample(path.read_bytes(), inputs),
            "file": Sample(path, inputs),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        path, inputs = graph(folder)
        return {
            "no ONNX": Sample(b"no model", inputs),
            "other names": Sample(path, {"z": ROWS}),
            "a format": Sample(path, inputs, OnnxOptions(format="json")),
        }
