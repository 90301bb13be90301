"""Write a live model as a graph: a SavedModel folder, or an ONNX copy. TensorFlow is imported when asked for.

Both are made from one function, which calls the model as `asking` does: what is asked later is what was
traced.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, Copy, SavedFile, SaveOptions, copy_bytes
from timeproof.frameworks.onnx.adapter import Onnx, facts, inspect_file
from timeproof.frameworks.onnx.copies import as_interchange
from timeproof.frameworks.tensorflow import saved_model
from timeproof.frameworks.tensorflow.probe import asking

SIGNATURE = "serving_default"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OPSET = 17  # what onnxruntime reads since 1.12, and what holds LayerNormalization


def serving(
    target: Any, inputs: Mapping[str, Array], call: Mapping[str, Any], more: Mapping[str, Any], *, free: bool
) -> tuple[Any, list[str], list[str]]:
    """Give the function that answers, its inputs' names, and its outputs', in the model's order.

    The outputs' are known once it was traced. A graph has its outputs by name: TensorFlow sorts them.

    Args:
        target: what is called: the model, or a method of it.
        more: what goes along with the inputs (training=False).
        free: leave the first size of every input free, where all have the same.
    """
    tf: Any = importlib.import_module("tensorflow")
    names = [
        name if _NAME.fullmatch(name) else f"input_{k}"
        for k, name in enumerate(e["input"] for e in call["inputs"])
    ]
    arrays = [inputs[entry["input"]] for entry in call["inputs"]]
    batch = {array.shape[:1] for array in arrays}
    specs = []
    for name, array in zip(names, arrays, strict=True):
        loose = free and len(batch) == 1 and array.ndim > 0
        shape = (None, *array.shape[1:]) if loose else array.shape
        specs.append(tf.TensorSpec(shape, tf.constant(array[:0] if array.ndim else array).dtype, name=name))

    def serve(*tensors: Any) -> dict[str, Any]:
        handed = [(entry["as"], tensor) for entry, tensor in zip(call["inputs"], tensors, strict=True)]
        outputs = dict(asking.named(asking.ask(target, handed, dict(call), **more)))
        order[:] = outputs
        return outputs

    order: list[str] = []
    return tf.function(serve, input_signature=specs, autograph=False), names, order


def write_saved_model(
    model: Any,
    target: Any,
    inputs: Mapping[str, Array],
    call: Mapping[str, Any],
    more: Mapping[str, Any],
    folder: Path,
    tag: str,
) -> tuple[list[SavedFile], list[str]]:
    """Write `model_<tag>/`; give its files, the graph first, and its inputs' names. Raises NotArchivable."""
    with tempfile.TemporaryDirectory() as name:
        scratch, failures = Path(name), []
        for free in (True, False):
            place = scratch / f"saved_{free}"
            try:
                with quiet():
                    function, names, _ = serving(target, inputs, call, more, free=free)
                    _save(model, function, place)
            except Exception as error:  # whatever tracing raises: a model may need sizes that are known
                failures.append(f"{type(error).__name__}: {str(error).strip()[:300]}")
                continue
            return copy_folder(place, folder, tag), names
    raise NotArchivable(
        f"the model's graph can't be saved: {failures[-1]}",
        advice="see that it can be traced by tf.function, with inputs of these types and sizes",
    )


def _save(model: Any, function: Any, place: Path) -> None:
    if _is_keras(model):
        keras: Any = importlib.import_module("keras")
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(SIGNATURE, function.python_function, list(function.input_signature))
        archive.write_out(str(place), verbose=False)
        return
    tf: Any = importlib.import_module("tensorflow")
    tf.saved_model.save(model, str(place), signatures={SIGNATURE: function})


def _is_keras(model: Any) -> bool:
    return any(
        kind.__module__.startswith("keras.") and kind.__name__ == "Layer" for kind in type(model).__mro__
    )


def copy_folder(source: Path, folder: Path, tag: str) -> list[SavedFile]:
    """Copy a SavedModel's files to `folder/model_<tag>/`, its graph first. Raises NotArchivable."""
    root = f"model_{tag}"
    files = []
    for relative, needed in list(saved_model.files_of(source)):
        if not needed:
            continue
        target = folder / root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_bytes(source / relative, target)
        graph = relative == saved_model.GRAPH
        files.append(SavedFile(f"{root}/{relative}", "model" if graph else "external", "saved-model"))
    return sorted(files, key=lambda file: file.role != "model")


def write_onnx(
    target: Any,
    inputs: Mapping[str, Array],
    call: Mapping[str, Any],
    more: Mapping[str, Any],
    folder: Path,
    tag: str,
    options: SaveOptions,
    notes: list[str],
) -> tuple[Copy, Sequence[SavedFile]] | None:
    """Write `model_<tag>.onnx` by tf2onnx, where it can; a note says why not.

    By `from_function`: its `from_keras` does not know Keras 3 (tf2onnx#2348).
    """
    failures: list[str] = []
    scratch = folder / ".export"
    scratch.mkdir()
    try:
        try:
            with quiet():
                converter: Any = importlib.import_module("tf2onnx")
        except ImportError as error:
            notes.append(f"there is no ONNX copy: {error}; pip install tf2onnx onnx")
            return None
        for free in (True, False):
            path = scratch / f"free_{free}.onnx"
            try:
                with quiet():
                    _patch(converter)
                    function, _, order = serving(target, inputs, call, more, free=free)
                    converted, _ = converter.convert.from_function(
                        function,
                        input_signature=function.input_signature,
                        opset=_OPSET,
                        custom_op_handlers={"Erfc": (_convert_erfc, [])},
                    )
                if len(converted.graph.input) != len(call["inputs"]):
                    raise NotArchivable("tf2onnx can't convert its tables of words or of numbers")
                taken = [entry["input"] for entry in call["inputs"]]
                _reorder(converted.graph.input, [taken.index(name) for name in inputs])
                _reorder(converted.graph.output, [sorted(order).index(name) for name in order])
                path.write_bytes(converted.SerializeToString())
                names = [value.name for value in inspect_file(path).inputs]
                ordered = dict(zip(names, inputs.values(), strict=True))
                saved = Onnx().save_file(path, ordered, folder, tag, SaveOptions())
                statements = {**facts(inspect_file(folder / saved.model)), "exporter": "tf2onnx"}
            except Exception as error:  # whatever a converter raises: the copy is missing, that is all
                failures.append(_first_line(error))
                for partial in folder.glob(f"model_{tag}*"):
                    if partial.suffix in {".onnx", ".data"}:
                        partial.unlink()
                continue
            settings: dict[str, Json] = {
                "graph_optimization": options.framework.graph_optimization,
                "by_position": True,
            }
            return Copy("onnx", "onnx", saved.model, settings, statements), as_interchange(saved.files)
        notes.append(f"there is no ONNX copy: {'; '.join(dict.fromkeys(failures))}")
        return None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _reorder(values: Any, places: Sequence[int]) -> None:
    """Put a graph's inputs or outputs into another order: by their place the model's are found again."""
    entries = list(values)
    del values[:]
    values.extend(entries[place] for place in places)


def _convert_erfc(graph: Any, node: Any, name: str, args: Any) -> None:  # noqa: ARG001 - as tf2onnx calls it
    """Spell erfc(x), by which Keras computes an exact gelu, as 1 - erf(x).

    tf2onnx 1.17 does not know it, and would leave it in a file that nothing can open.
    """
    node.type, node.domain = "Erf", ""
    unit = graph.make_const(f"{name}_unit", np.ones((), np.float32)).output[0]
    graph.insert_new_node_on_output("Sub", node.output[0], name=f"{name}_less", inputs=[unit, node.output[0]])


def _patch(converter: Any) -> None:  # noqa: ARG001 - tf2onnx must be there already
    """Let Keras mend what tf2onnx has not learnt yet of NumPy 2, where this Keras does so."""
    with contextlib.suppress(ImportError, AttributeError):
        importlib.import_module("keras.src.export.tf2onnx_lib").patch_tf2onnx()


def _first_line(error: Exception) -> str:
    text = error.message if isinstance(error, NotArchivable) else f"{type(error).__name__}: {error}"
    return (text.strip().splitlines() or [type(error).__name__])[0][:300]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what TensorFlow and the converters print, warn and log away from the user.

    TensorFlow's C++ side writes past Python's own streams.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    copy = null = None
    try:
        with contextlib.suppress(OSError):  # a process without a stderr has nothing to silence
            copy = os.dup(2)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        if copy is not None:
            os.dup2(copy, 2)
            os.close(copy)
        if null is not None:
            os.close(null)
        logging.disable(before)
