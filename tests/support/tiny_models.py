"""Four tiny models, one a framework. Each function gives what `timeproof.archive` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support import onnx_bytes

ROWS = np.linspace(-1, 1, 36, dtype=np.float32).reshape(9, 4)
LABELS = np.array([0, 1, 2] * 3)


def net() -> dict[str, Any]:
    import torch
    from tiny_net import TinyNet

    from timeproof.frameworks.pytorch import PyTorchOptions

    torch.manual_seed(0)
    return {
        "model": TinyNet(4, 3).eval(),
        "inputs": {"x": ROWS},
        "options": PyTorchOptions(init_args={"inputs": 4, "classes": 3}),
    }


def forest() -> tuple[Any, Any]:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1)
    return model.fit(ROWS, LABELS), ROWS


def leaves() -> tuple[Any, Any]:
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=1, n_jobs=1, verbose=-1)
    return model.fit(ROWS, LABELS), ROWS


def graph(folder: Path) -> tuple[Path, dict[str, Any]]:
    """An `.onnx` file: twice the input."""
    rows = (onnx_bytes.value_info(name, "rows", 4) for name in ("x", "y"))
    adding = onnx_bytes.message(1, onnx_bytes.node("Add", ["x", "x"], ["y"]))
    model = onnx_bytes.model(adding, *(onnx_bytes.message(11 + k, info) for k, info in enumerate(rows)))
    path = folder / "twice.onnx"
    path.write_bytes(model)
    return path, {"x": ROWS}
