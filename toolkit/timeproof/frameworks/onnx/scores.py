"""Which of an ONNX graph's outputs hold class scores: what the graph itself says of them. No IO here."""

from __future__ import annotations

from timeproof.frameworks.onnx.graph import Graph, Node
from timeproof.frameworks.onnx.probe.onnxfile import OnnxFile, Value

_LAST_BY_DEFAULT = 13  # the opset since which a Softmax without an axis works along the last one
_ML = "ai.onnx.ml"
_SOFTMAX = frozenset({("", "Softmax"), ("", "LogSoftmax")})
# Their second output is a table with a column for each class.
_CLASSIFIERS = frozenset({(_ML, "TreeEnsembleClassifier"), (_ML, "LinearClassifier"), (_ML, "SVMClassifier")})
# They hand scores on, each at its place.
_HANDING_ON = frozenset({("", "Identity"), ("", "Cast"), (_ML, "Normalizer")})
# They only look at scores: what they read may still be the end of the model.
_LOOKING = frozenset({("", "ArgMax"), ("", "TopK"), ("", "ReduceMax"), (_ML, "ZipMap")})


def scores(graph: Graph, file: OnnxFile) -> dict[str, bool]:
    """Give, for each output of which the graph says so, whether its last axis holds class scores.

    They come from a classifier's operator, or from a Softmax along the last axis that nothing in the graph
    computes with (a Softmax inside of an attention is computed with). A Softmax along another axis says that
    the last one holds none. Time is linear.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs if name}
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    default = -1 if (file.opsets.get("") or 0) >= _LAST_BY_DEFAULT else 1
    marks = {value.name: _mark_of(value, makers, readers, default) for value in file.outputs}
    return {name: mark for name, mark in marks.items() if mark is not None}


def _mark_of(
    value: Value, makers: dict[str, Node], readers: dict[str, list[Node]], default: int
) -> bool | None:
    name, passed = value.name, {value.name}
    while (node := makers.get(name)) is not None and (node.domain, node.kind) in _HANDING_ON and node.inputs:
        name = node.inputs[0]
        if name in passed:
            return None  # a circle, which no runtime would load
        passed.add(name)
    if node is None:
        return None
    if (node.domain, node.kind) in _CLASSIFIERS:
        return True if node.outputs[1:2] == (name,) else None
    if (node.domain, node.kind) not in _SOFTMAX or any(
        _computes(r) for n in passed for r in readers.get(n, ())
    ):
        return None
    axis = default if node.axis is None else node.axis
    if axis == -1:
        return True
    rank = 0 if value.dims is None else len(value.dims)
    return axis % rank == rank - 1 if rank else None


def _computes(node: Node) -> bool:
    return (node.domain, node.kind) not in _HANDING_ON | _LOOKING
