"""Whether an ONNX graph says that an output holds class scores: real graphs, checked by onnx itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support import tiny_models

from timeproof.frameworks import SaveOptions
from timeproof.frameworks.onnx.adapter import Onnx

N = helper.make_node
X = np.random.default_rng(5).standard_normal((6, 4)).astype(np.float32)


def graph(nodes: list[onnx.NodeProto], *names: str, dims: tuple[object, ...] = ("n", 4), opset: int = 17):
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name in names],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return model


def classifier() -> onnx.ModelProto:
    """As skl2onnx makes one: a linear classifier, whose scores are normalised."""
    linear = N(
        "LinearClassifier",
        ["x"],
        ["label", "raw"],
        domain="ai.onnx.ml",
        coefficients=[float(i) for i in range(12)],
        intercepts=[0.0] * 3,
        classlabels_ints=[0, 1, 2],
        post_transform="LOGISTIC",
    )
    normal = N("Normalizer", ["raw"], ["p"], domain="ai.onnx.ml", norm="L1")
    made = helper.make_graph(
        [linear, normal],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 3]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


CUBE = ("n", 8, 4)
GRAPHS = {
    "a softmax": (graph([N("Softmax", ["x"], ["y"])], "y"), {"y": True}),
    "a log-softmax": (graph([N("LogSoftmax", ["x"], ["y"], axis=-1)], "y"), {"y": True}),
    "a softmax of letters": (graph([N("Softmax", ["x"], ["y"], axis=2)], "y", dims=CUBE), {"y": True}),
    "a softmax of pixels": (graph([N("Softmax", ["x"], ["y"], axis=1)], "y", dims=CUBE), {"y": False}),
    "a softmax of an old opset": (
        graph([N("Softmax", ["x"], ["y"])], "y", dims=CUBE, opset=11),
        {"y": False},
    ),
    "an old one of a table": (graph([N("Softmax", ["x"], ["y"])], "y", opset=11), {"y": True}),
    "scores that are handed on": (
        graph([N("Softmax", ["x"], ["p"]), N("Identity", ["p"], ["q"]), N("Cast", ["q"], ["y"], to=1)], "y"),
        {"y": True},
    ),
    "an attention": (
        graph([N("Softmax", ["x"], ["p"]), N("Mul", ["p", "x"], ["y"])], "y", "p"),
        {},
    ),
    "a sigmoid": (graph([N("Sigmoid", ["x"], ["y"])], "y", dims=(1, 1, 64, 64)), {}),
    "an input": (graph([N("Identity", ["x"], ["y"])], "y"), {}),
    "a classifier": (classifier(), {"p": True}),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_says_which_of_its_outputs_are_class_scores(name: str, tmp_path: Path) -> None:
    model, expected = GRAPHS[name]
    saved = Onnx().save(model, {"x": X}, tmp_path, "onnx_v1", SaveOptions())
    assert dict(saved.scores) == expected


def test_a_real_classifier_of_trees_says_so(tmp_path: Path) -> None:
    onnxmltools = pytest.importorskip("onnxmltools")
    forest, _ = tiny_models.forest()
    kind = onnxmltools.convert.common.data_types.FloatTensorType([None, 4])
    model = onnxmltools.convert_xgboost(forest, initial_types=[("x", kind)])
    saved = Onnx().save(model, {"x": X}, tmp_path, "onnx_v1", SaveOptions())
    assert saved.scores == {"probabilities": True}
