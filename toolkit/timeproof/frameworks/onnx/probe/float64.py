"""Ask an ONNX model in float64: every tensor and input widened, every output rounded once at the end.

By onnxruntime where all the operators have a kernel for float64, else by the `onnx` package's own
evaluator, which is slow, and has them all. Which of the two depends on the model and its environment alone.
"""

import importlib
import os
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from timeproof_probe.file_checks import Refused
from timeproof_probe.work_limit import Work

from . import graph_outputs, load

MODULES = ("onnx", "onnxruntime", "numpy")

_FLOAT, _FLOAT16, _DOUBLE, _BFLOAT16 = 1, 10, 11, 16  # TensorProto.DataType
_NARROW = (_FLOAT, _FLOAT16, _BFLOAT16)
_KINDS = {_FLOAT: "float32", _FLOAT16: "float16"}
_TYPED = ("to", "dtype", "stash_type", "softmax_precision")  # attributes that name a type


def _below(message: Any, name: str) -> Iterator[Any]:
    """Give every message of the type `name` below a protobuf message."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "DESCRIPTOR") else value:
                if part.DESCRIPTOR.name == name:
                    yield part
                for message_below in _below(part, name):
                    yield message_below


def _widen_constant(onnx: Any, node: Any) -> None:
    """Make the float32 that a node holds as a plain number, or by default, a float64 tensor."""
    import numpy

    if node.op_type == "ConstantOfShape" and not node.attribute:
        node.attribute.add().CopyFrom(
            onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(numpy.zeros(1)))
        )
    if node.op_type == "EyeLike" and not any(a.name == "dtype" for a in node.attribute):
        node.attribute.add().CopyFrom(onnx.helper.make_attribute("dtype", _DOUBLE))
    if node.op_type == "Constant":
        for attribute in node.attribute:
            if attribute.name in ("value_float", "value_floats"):
                single = attribute.name == "value_float"
                value = attribute.f if single else list(attribute.floats)
                tensor = onnx.numpy_helper.from_array(numpy.array(value, numpy.float64))
                attribute.CopyFrom(onnx.helper.make_attribute("value", tensor))


def _widen(onnx: Any, model: Any) -> None:
    """Turn every narrow float of the model into a float64: tensors, declared types, casts."""
    import numpy

    if any(True for _ in _below(model, "SparseTensorProto")):
        raise Refused("it holds sparse tensors")
    for tensor in _below(model, "TensorProto"):
        if tensor.data_type in _NARROW:
            wide = onnx.numpy_helper.to_array(tensor).astype(numpy.float64)
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(numpy.ascontiguousarray(wide), name))
    for kind in _below(model, "Tensor"):  # TypeProto.Tensor
        if kind.elem_type in _NARROW:
            kind.elem_type = _DOUBLE
    for node in _below(model, "NodeProto"):
        _widen_constant(onnx, node)
        for attribute in node.attribute:
            if attribute.name in _TYPED and attribute.i in _NARROW:
                attribute.i = _DOUBLE


def _kinds(model: Any) -> Dict[str, str]:
    """Give the type that each output has natively. Raises Refused where float64 is nothing new."""
    kinds = {}
    for output in model.graph.output:
        kind = output.type
        while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
            kind = getattr(kind, kind.WhichOneof("value")).elem_type
        if kind.WhichOneof("value") == "map_type":  # ZipMap's; its values are float32
            kinds[output.name] = "float32"
            continue
        elem_type = kind.tensor_type.elem_type
        if elem_type == _DOUBLE:
            raise Refused("an output is of float64 natively: there is nothing wider to round from")
        if elem_type in (0, _BFLOAT16):
            raise Refused("the type of the output {!r} is not one that can be rounded to".format(output.name))
        kinds[output.name] = _KINDS.get(elem_type, "")
    return kinds


def _by_onnxruntime(model: Any, names: List[str], feed: Dict[str, Any], threads: Optional[int]) -> List[Any]:
    """Raises whatever onnxruntime does, and Refused where a float in between is narrower."""
    inference: Any = importlib.import_module("onnx.shape_inference")
    for between in inference.infer_shapes(model).graph.value_info:
        if between.type.tensor_type.elem_type in _NARROW:
            raise Refused("{!r} is narrower than float64".format(between.name))
    onnxruntime: Any = importlib.import_module("onnxruntime")
    settings = load.plain_settings(onnxruntime, threads)
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    values: List[Any] = session.run(names, feed)
    return values


def _products(kind: str, arguments: Tuple[Any, ...], result: Any) -> int:
    """Count an operator's multiply-adds, from the sizes of what it takes and gives."""
    sizes = [int(getattr(value, "size", 0)) for value in arguments]
    if kind in ("LSTM", "GRU", "RNN"):
        return sizes[0] // max(1, int(arguments[0].shape[-1])) * sum(sizes[1:3])
    if kind == "Conv":
        return int(result.size) * sizes[1] // max(1, int(arguments[1].shape[0]))
    if kind == "ConvTranspose":
        return sizes[0] * sizes[1] // max(1, int(arguments[1].shape[0]))
    if kind in ("MatMul", "Gemm", "Einsum") and len(sizes) > 1:  # M×K by K×N: the root of MK·KN·MN
        return int((float(sizes[0]) * sizes[1] * int(result.size)) ** 0.5)
    return 0


def _watch(evaluator: Any, work: Work) -> Set[str]:
    """Let every node of the evaluator, of its subgraphs and functions too, count what it computes.

    Returns:
        set: filled while the evaluator runs: operators of the graph itself with a result below float64.
    """
    narrow: Set[str] = set()
    waiting, visited = [evaluator], {id(evaluator)}
    while waiting:
        holder = waiting.pop()
        for node in holder.rt_nodes_:
            for member in list(vars(node).values()):
                if hasattr(member, "rt_nodes_") and id(member) not in visited:
                    visited.add(id(member))
                    waiting.append(member)
            node.run = _watched(node, work, narrow if holder is evaluator else set())
    return narrow


def _watched(node: Any, work: Work, narrow: Set[str]) -> Any:
    plain = node.run
    kind = node.onnx_node.op_type
    whole = hasattr(node, "impl_")  # a function: its own nodes count

    def run(*arguments: Any, **more: Any) -> Any:
        results = plain(*arguments, **more)
        arrays = [value for value in results if hasattr(value, "size")]
        if any(str(array.dtype) in ("float32", "float16", "bfloat16") for array in arrays):
            narrow.add(kind)
        if not whole:
            products = _products(kind, arguments, arrays[0]) if arrays else 0
            work.add(sum(int(array.size) for array in arrays), products)
        return results

    return run


def _by_evaluator(model: Any, names: List[str], feed: Dict[str, Any], work: Work) -> List[Any]:
    """Evaluate node by node, and see that no float of any of them is narrower than float64."""
    reference: Any = importlib.import_module("onnx.reference")
    for node in _below(model, "NodeProto"):
        if node.op_type == "LayerNormalization":  # it computes in its input's type, and refuses to be told so
            for attribute in node.attribute:
                if attribute.name == "stash_type":
                    attribute.i = _FLOAT
    evaluator = reference.ReferenceEvaluator(model)
    narrow = _watch(evaluator, work)
    values: List[Any] = evaluator.run(names, feed)
    if narrow:
        raise Refused("it computes in less than float64 on the way: {}".format(", ".join(sorted(narrow))))
    return values


def _compute(
    model: Any, names: List[str], feed: Dict[str, Any], threads: Optional[int], work: Work
) -> List[Any]:
    """Compute the widened model with whichever of the two can. Raises Refused where neither can."""
    try:
        return _by_onnxruntime(model, names, feed, threads)
    except Exception as error:  # whatever onnxruntime lacks or dislikes
        lacking = error
    try:
        return _by_evaluator(model, names, feed, work)
    except Refused:
        raise
    except Exception as error:
        raise Refused(
            "neither onnxruntime ({}) nor onnx ({}) computes it in float64".format(
                str(lacking)[:300], str(error)[:300]
            )
        )


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],
) -> List[Tuple[str, Any, str]]:
    """Give the outputs in the native ones' types, as (name, array, the type it was made from or "").

    Raises Refused where float64 is nothing new, where neither of the two can compute in it throughout, or
    where the evaluator computes more than `options["work"]`. (onnxruntime takes about twice as long in
    float64 as natively.)
    """
    load.check_external(directory, model, sizes)
    try:
        onnx: Any = importlib.import_module("onnx")
        importlib.import_module("onnx.numpy_helper")
    except ImportError:
        raise Refused("the environment holds no onnx package to widen the model with")
    loaded = onnx.load(os.path.join(directory, model))
    kinds = _kinds(loaded)
    initialised = {tensor.name for tensor in loaded.graph.initializer}
    wanted = [item.name for item in loaded.graph.input if item.name not in initialised]
    feed = load.feed_of(wanted, inputs, options)
    _widen(onnx, loaded)
    feed = {name: item.astype("float64") if item.dtype.kind == "f" else item for name, item in feed.items()}
    values = _compute(loaded, list(kinds), feed, threads, Work(options.get("work")))
    outputs: List[Tuple[str, Any, str]] = []
    for (name, kind), value in zip(kinds.items(), values):  # noqa: B905 - Python 3.6
        for flat, array, made_from in graph_outputs.flatten(name, value):
            outputs.append(
                (flat, array.astype(kind) if kind and array.dtype.kind == "f" else array, made_from)
            )
    return outputs
