"""What onnxruntime is fed and gives back where NumPy has no type for it: sequences, optionals, small floats.

How the recorded arrays make up the graph's inputs stands in the artifact's options, as `feeds`: for each
input its `name`, its `kind` (tensor, sequence, none), how many arrays it takes (`count`), and their
`element` where NumPy lacks it; those arrays hold bits.
"""

import ctypes
import importlib
from typing import Any, Dict, List, Tuple

from timeproof_probe.file_checks import Refused

from . import elements


def assembled(inputs: List[Tuple[str, Any]], feeds: Any) -> Dict[str, Any]:
    """Put the recorded arrays together as `feeds` says. Raises Refused."""
    feed_values: Dict[str, Any] = {}
    remaining = [array for _, array in inputs]
    for feed in feeds:
        kind, count = feed["kind"], feed["count"]
        taken, remaining = remaining[:count], remaining[count:]
        if len(taken) != count or (kind, count) not in (("tensor", 1), ("none", 0), ("sequence", count)):
            raise Refused("the input {!r} is not what the artifact's arrays make up".format(feed["name"]))
        if feed.get("element"):
            if kind != "tensor":
                raise Refused("onnxruntime can't be given a sequence of {}".format(feed["element"]))
            taken = [_foreign(taken[0], feed["element"])]
        feed_values[feed["name"]] = taken if kind == "sequence" else taken[0] if taken else None
    if remaining:
        raise Refused("{} arrays more than the graph's inputs take".format(len(remaining)))
    return feed_values


def _foreign(bits: Any, name: str) -> Any:
    """Make an OrtValue of an array of bits."""
    import numpy

    onnxruntime: Any = importlib.import_module("onnxruntime")
    element = elements.BY_NAME.get(name)
    make = getattr(onnxruntime.OrtValue, "ortvalue_from_numpy_with_onnx_type", None)
    if element is None or not element.foreign or make is None:
        raise Refused("onnxruntime {} can't be given {} by Python".format(onnxruntime.__version__, name))
    if element.bits < 8:
        # The shape is the array's; the elements are read from where it begins, several in a byte.
        data = numpy.zeros(bits.shape, numpy.uint8)
        small = elements.packed(bits, element)
        data.reshape(-1)[: small.size] = small
        bits = data
    return make(bits, element.number)


def foreign(kind: str) -> Any:
    """The element type of `tensor(…)` where NumPy lacks it, else None."""
    element = elements.BY_NAME.get(kind[7:-1]) if kind.startswith("tensor(") else None
    return element if element is not None and element.foreign else None


def run(session: Any, names: List[str], kinds: List[str], feed: Dict[str, Any]) -> List[Tuple[Any, str]]:
    """Run a graph some of whose outputs NumPy has no type for; each with what it was made from, or "".

    Raises Refused where this onnxruntime can't hand such outputs to Python.
    """
    onnxruntime: Any = importlib.import_module("onnxruntime")
    if not hasattr(session, "run_with_ort_values"):
        raise Refused("onnxruntime {} can't hand out {}".format(onnxruntime.__version__, ", ".join(kinds)))
    ort_values = {}
    for name, value in feed.items():
        if value is None or isinstance(value, list):
            raise Refused("sequences and optionals beside outputs of {}".format(", ".join(kinds)))
        is_ort = isinstance(value, onnxruntime.OrtValue)
        ort_values[name] = value if is_ort else onnxruntime.OrtValue.ortvalue_from_numpy(value)
    results = session.run_with_ort_values(names, ort_values)
    outputs = []
    for value, kind in zip(results, kinds):  # noqa: B905 - Python 3.6
        element = foreign(kind)
        outputs.append((value.numpy(), "") if element is None else (_values(value, element), element.name))
    return outputs


def _values(value: Any, element: elements.Element) -> Any:
    """Read an OrtValue's memory: floats as float32, which holds their values, and small integers in bytes."""
    import numpy

    shape = value.shape()
    count = 1
    for size in shape:
        count *= size
    data = ctypes.string_at(value.data_ptr(), (count * element.bits + 7) // 8) if count else b""
    if element.bits < 8:
        bits = elements.unpacked(numpy.frombuffer(data, numpy.uint8), element, count)
    else:
        bits = numpy.frombuffer(data, element.stored)
    return elements.widened(bits, element).reshape(shape)
