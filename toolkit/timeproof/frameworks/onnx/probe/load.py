"""Run an ONNX model with onnxruntime, on the CPU."""

import importlib
import os
from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe.file_checks import Refused

from . import feeds, graph_outputs, onnxfile

MODULES = ("onnxruntime", "numpy")
_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
}


def warm() -> None:
    importlib.import_module("onnxruntime")


def check_external(directory: str, model: str, sizes: Dict[str, int]) -> None:
    """Refuse external data that isn't wholly inside a listed file, before onnxruntime opens anything."""
    with open(os.path.join(directory, model), "rb") as stream:
        inspected = onnxfile.inspect(stream.read())
    beside = os.path.dirname(model)
    listed = {}
    for path, size in sizes.items():
        if os.path.dirname(path) == beside:
            listed[os.path.basename(path)] = size
        elif not beside or path.startswith(beside + "/"):
            listed[path[len(beside) + 1 if beside else 0 :]] = size
    onnxfile.check_external(inspected, listed)


def plain_settings(onnxruntime: Any, threads: Optional[int]) -> Any:
    settings = onnxruntime.SessionOptions()
    if threads is not None:
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return settings


def feed_of(wanted: List[str], inputs: List[Tuple[str, Any]], options: Dict[str, Any]) -> Dict[str, Any]:
    """Name the inputs as the graph does. Raises Refused."""
    if options.get("feeds") is not None:
        feed = feeds.assembled(inputs, options["feeds"])
        if set(feed) != set(wanted):
            raise Refused("the graph's inputs are {}, the recorded ones {}".format(wanted, list(feed)))
        return feed
    names = [name for name, _ in inputs]
    if set(names) != set(wanted):
        if len(names) != len(wanted) or not options.get("by_position"):
            raise Refused("the graph's inputs are {}, the recorded ones {}".format(wanted, names))
        names = wanted
    return {name: array for name, (_, array) in zip(names, inputs)}  # noqa: B905 - Python 3.6


def open_session(path: str, options: Dict[str, Any], threads: Optional[int]) -> Any:
    """Open the model with the settings that the artifact records. Raises Refused."""
    onnxruntime: Any = importlib.import_module("onnxruntime")
    settings = plain_settings(onnxruntime, threads)
    levels = {
        "disable": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
    level = options.get("graph_optimization", "basic")
    if level not in levels:
        raise Refused("the graph optimisation {!r} is none of {}".format(level, ", ".join(sorted(levels))))
    settings.graph_optimization_level = levels[level]
    if hasattr(onnxruntime, "set_seed"):  # for operators that draw random numbers without a seed of their own
        onnxruntime.set_seed(options.get("seed", 0))
    return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    check_external(directory, model, sizes)
    session = open_session(os.path.join(directory, model), options, threads)
    graph_inputs = session.get_inputs()
    feed = feed_of([item.name for item in graph_inputs], inputs, options)
    if options.get("cast"):  # a copy of a model that takes wider numbers
        for item in graph_inputs:
            kind = _TYPES.get(item.type)
            feed[item.name] = feed[item.name] if kind is None else feed[item.name].astype(kind)
    wanted = options.get("outputs")
    chosen = [item for item in session.get_outputs() if wanted is None or item.name in wanted]
    names, kinds = [item.name for item in chosen], [item.type for item in chosen]
    if any(feeds.foreign(kind) for kind in kinds):
        values = feeds.run(session, names, kinds, feed)
    else:
        values = [(value, "") for value in session.run(names, feed)]
    outputs: List[Tuple[str, Any, str]] = []
    for name, (value, made_from) in zip(names, values):  # noqa: B905 - Python 3.6
        outputs += [(name, value, made_from)] if made_from else graph_outputs.flatten(name, value)
    return outputs
