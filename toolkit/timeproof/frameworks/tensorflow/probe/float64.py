"""Ask a Keras or TensorFlow model in float64: its graph, every float32 widened, outputs rounded once.

The model is traced as it answers natively, its variables become constants, and each float32 in that graph
(types, constants, functions) becomes a float64. What has no kernel for float64 is refused.
"""

import importlib
from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe.file_checks import Refused
from timeproof_probe.work_limit import Work

from . import asking, load

MODULES = load.MODULES

_FLOAT, _DOUBLE = 1, 2  # DataType
_NARROW = {
    14: "bfloat16",
    19: "float16",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    15: "qint16",
    16: "quint16",
}
_NARROW.update({24: "float8_e5m2", 25: "float8_e4m3fn"})


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the outputs in the native ones' types, as (name, array, "").

    Raises Refused where float64 is nothing new, where the model computes in something narrower or has an
    operator without float64, or where it computes more than `options["work"]`.
    """
    tf = load.prepare(threads, options)
    target, more = load.callee(directory, model, options)
    call = options["asked"]
    tensors = asking.tensors_of(dict(inputs), call)
    names: List[Tuple[str, Any]] = []

    def answer(*values: Any) -> List[Any]:
        handed = [(tensors[k][0], value) for k, value in enumerate(values)]
        outputs = asking.named(asking.ask(target, handed, call, **more))
        names[:] = [(name, tensor.dtype) for name, tensor in outputs]
        return [tf.identity(tensor) for _, tensor in outputs]

    frozen = _freeze(tf, answer, [tensor for _, tensor in tensors])
    if any(dtype in (tf.float64, tf.complex128) for _, dtype in names):
        raise Refused("an output is of float64 natively: there is nothing wider to round from")
    graph_def = frozen.graph.as_graph_def()
    _widen(tf, graph_def)
    arrays = _run(tf, graph_def, frozen, tensors, Work(options.get("work")), threads)
    rounded = []
    for (name, dtype), array in zip(names, arrays):  # noqa: B905 - Python 3.6
        if dtype.as_numpy_dtype is object or dtype in (tf.bfloat16, tf.string):
            raise Refused("the output {!r} is of {}".format(name, dtype.name))
        rounded.append((name, array.astype(dtype.as_numpy_dtype), ""))
    return load.in_order(rounded, options)


def _freeze(tf: Any, answer: Any, values: List[Any]) -> Any:
    """Trace the model, and turn its variables into constants. Raises Refused."""
    convert: Any = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    specs = [tf.TensorSpec(value.shape, value.dtype) for value in values]
    concrete = tf.function(answer, input_signature=specs, autograph=False).get_concrete_function()
    try:
        frozen = convert.convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    except Exception as error:
        raise Refused("its graph can't be widened: {}".format(_first_line(error)))
    if len(frozen.inputs) != len(values):
        raise Refused("its graph holds tables or other resources, which can't be widened")
    return frozen


def _widen(tf: Any, graph_def: Any) -> None:
    """Turn every float32 of a graph into a float64. Raises Refused where something is narrower."""
    nodes = [graph_def.node] + [function.node_def for function in graph_def.library.function]
    for function in graph_def.library.function:
        for argument in list(function.signature.input_arg) + list(function.signature.output_arg):
            argument.type = _wide(argument.type, function.signature.name)
            argument.ClearField("experimental_full_type")
        for value in function.attr.values():
            _widen_attribute(tf, value, function.signature.name)
    for group in nodes:
        for node in group:
            if node.HasField("experimental_type"):
                node.ClearField("experimental_type")  # it would still say float32
            for value in node.attr.values():
                _widen_attribute(tf, value, node.op)


def _widen_attribute(tf: Any, value: Any, operator: str) -> None:
    kind = value.WhichOneof("value")
    if kind == "type":
        value.type = _wide(value.type, operator)
    elif kind == "list":
        for k, each in enumerate(value.list.type):
            value.list.type[k] = _wide(each, operator)
        for tensor in value.list.tensor:
            _widen_tensor(tf, tensor)
    elif kind == "tensor":
        _widen_tensor(tf, value.tensor)
    elif kind == "func":
        for below in value.func.attr.values():
            _widen_attribute(tf, below, operator)


def _widen_tensor(tf: Any, tensor: Any) -> None:
    if tensor.dtype == _FLOAT:
        array = tf.make_ndarray(tensor).astype("float64")
        tensor.CopyFrom(tf.make_tensor_proto(array, dtype=tf.float64, shape=array.shape))


def _wide(dtype: int, operator: str) -> int:
    if dtype % 100 in _NARROW:
        raise Refused(
            "it computes in less than float64 on the way: {} in {}".format(operator, _NARROW[dtype % 100])
        )
    return _DOUBLE if dtype == _FLOAT else dtype


def _run(
    tf: Any, graph_def: Any, frozen: Any, tensors: List[Tuple[str, Any]], work: Work, threads: Optional[int]
) -> List[Any]:
    """Run the widened graph, as it stands. Raises Refused."""
    config = tf.compat.v1.ConfigProto(
        inter_op_parallelism_threads=1, intra_op_parallelism_threads=threads or 0
    )
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = -1
    feeds = {}
    for placeholder, (_, tensor) in zip(frozen.inputs, tensors):  # noqa: B905 - Python 3.6
        array = tensor.numpy()
        feeds[placeholder.name] = array.astype("float64") if array.dtype == "float32" else array
    try:
        with tf.Graph().as_default() as graph:
            tf.graph_util.import_graph_def(graph_def, name="")
            for operation in graph.get_operations():
                work.add(*_work(operation))
            with tf.compat.v1.Session(graph=graph, config=config) as session:
                return list(session.run([output.name for output in frozen.outputs], feeds))
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        raise Refused("in float64 it does not run: {}".format(_first_line(error)))


def _work(operation: Any) -> Tuple[int, int]:
    """Count an operator's elements and multiply-adds, from the sizes that its graph knows.

    A loop is taken to go through all of its matrices for each row, once for each step.
    """
    elements = sum(_elements(output) for output in operation.outputs)
    taken = list(operation.inputs)
    if operation.type in ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3") and len(taken) > 1:
        shape = _sizes(taken[0])
        flipped = any(operation.node_def.attr[name].b for name in ("transpose_a", "adj_x"))
        return elements, elements * (shape[-2 if flipped else -1] if len(shape) > 1 else 1)
    if operation.type.startswith(("Conv", "DepthwiseConv")) and len(taken) > 1:
        kernel = _sizes(taken[-1 if operation.type.startswith("Conv3DBackprop") else 1])
        return elements, elements * (_product(kernel) // max(1, kernel[-1] if kernel else 1))
    if operation.type in ("While", "StatelessWhile"):
        shapes = [_sizes(item) for item in taken]
        rows = max([max(shape[:2]) for shape in shapes if len(shape) > 1] or [1])
        steps = max([shape[0] for shape in shapes if len(shape) > 1] or [1])
        return elements, rows * steps * sum(_product(shape) for shape in shapes if len(shape) == 2)
    return elements, 0


def _elements(tensor: Any) -> int:
    return _product(_sizes(tensor))


def _sizes(tensor: Any) -> List[int]:
    shape = tensor.shape
    return [] if shape.rank is None else [1 if size is None else int(size) for size in shape.as_list()]


def _product(sizes: List[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
