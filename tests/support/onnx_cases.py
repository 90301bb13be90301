"""Cases of ONNX models with their answers, laid out on disk as the ONNX project lays out its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_case(
    folder: Path, model: onnx.ModelProto, inputs: list[Any], outputs: list[Any], number: int = 0
) -> Path:
    """One case as ONNX lays them out; `inputs` and `outputs` are messages, or bytes as they are."""
    data_set = folder / f"test_data_set_{number}"
    data_set.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    for kind, values in (("input", inputs), ("output", outputs)):
        for k, value in enumerate(values):
            data = value if isinstance(value, bytes) else value.SerializeToString()
            (data_set / f"{kind}_{k}.pb").write_bytes(data)
    return folder


def graph_of(nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def relu() -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    return graph_of([helper.make_node("Relu", ["x"], ["y"])], [x], [y])


X = np.array([[-1, 2], [3, -4]], np.float32)


def tensor(array: np.ndarray, name: str = "") -> TensorProto:
    return numpy_helper.from_array(array, name)
