"""Four tiny models, one a framework. Each function gives what `timeproof.archive` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])
    node = helper.make_node("Add", ["x", "x"], ["y"])
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(helper.make_graph([node], "twice", [x], [y]), opset_imports=[opset])
    model.ir_version = 8
    path = folder / "twice.onnx"
    path.write_bytes(model.SerializeToString())
    assert onnx.load(path).graph.name == "twice"
    return path, {"x": ROWS}
