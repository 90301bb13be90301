"""Artifacts for a probe's job: an ONNX file that adds, and PyTorch modules with any source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support import onnx_bytes

from timeproof.testing.probing import artifact, write_inputs


def adder(folder: Path, name: str = "onnx", **more: Any) -> dict[str, Any]:
    home = folder / name
    home.mkdir()
    (home / "model.onnx").write_bytes(onnx_bytes.adding(onnx_bytes.tensor("w")))
    write_inputs(home, [np.zeros((3, 2), np.float32)])
    return artifact(home, "onnx", "model.onnx", names=["x"], name=name, **more)


def python_model(
    folder: Path, body: str, name: str, forward: str = "return x * self.w", **more: Any
) -> dict[str, Any]:
    """A torch model whose module has `body` at its top and `forward` as its answer."""
    import torch

    home = folder / name
    (home / "source").mkdir(parents=True)
    (home / "source" / "net.py").write_text(
        "import os, signal, sys, time\nimport torch\n"
        f"{body}\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.w = torch.nn.Parameter(torch.ones(2))\n"
        "    def forward(self, x):\n"
        f"        {forward}\n"
    )
    torch.save({"model_state": {"w": torch.full((2,), 3.0)}}, home / "model.pth")
    write_inputs(home, [np.ones((2, 2), np.float32)])
    options = {"module": "net", "qualname": "Net", "init_args": {}, "source": "source"}
    return artifact(home, "pytorch", "model.pth", name=name, options=options, **more)
