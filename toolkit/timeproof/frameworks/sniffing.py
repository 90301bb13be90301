"""What a model file is, by its bytes: nothing is loaded, unpickled or run.

A file that can be archived as it is gives its framework's name; any other gives what it is, and a way that
works.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from timeproof.errors import NotArchivable
from timeproof.frameworks.onnx.adapter import inspect_file
from timeproof.frameworks.pickles import Pickle, looked_into

_HEAD = 4096  # bytes
LIVE = "timeproof.archive(model, inputs, grid_size=…)"
_DUMP = re.compile(rb'\{\s*"name"\s*:\s*"tree"')
# What XGBoost's binary format holds behind its parameters: objective and booster, each with its length.
_OBJECTIVE = re.compile(rb"[\x01-\x40]\x00{7}(?:reg|binary|multi|rank|count|survival):[a-z]")
_BOOSTER = re.compile(rb"(?:\x06\x00{7}gbtree|\x08\x00{7}gblinear|\x04\x00{7}dart)")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file that can't be archived as it is: `what` it is, within a sentence, and what to do `instead`."""

    what: str
    instead: str


def identify(path: Path) -> str | Foreign | None:
    """Give the framework's name, or what the file is instead; None where the bytes tell nothing.

    Raises OSError.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    size = path.stat().st_size
    text = head.lstrip()
    if head.startswith(b"PK\x03\x04"):
        return _zipped(path)
    if text.startswith(b"tree") and text[4:].lstrip().startswith(b"version="):
        return "lightgbm"
    if text.startswith(b"{"):
        return _braces(text)
    if _is_safetensors(head, size):
        return _SAFETENSORS
    for mark, place, foreign in _MARKS:
        if head[place : place + len(mark)] == mark:
            return foreign
    if _OBJECTIVE.search(head) and _BOOSTER.search(head):
        return _XGBOOST_BINARY
    if pickle := looked_into(path):
        return _pickled(pickle)
    if _is_onnx(path, head):
        return "onnx"
    return None


def _braces(text: bytes) -> str | Foreign | None:
    """JSON or UBJSON."""
    if text[1:2] in b"LIlU" and b"learner" in text:
        return "xgboost"  # UBJSON: the length of the first name follows the brace
    if _DUMP.match(text):
        return Foreign(
            "what LightGBM's dump_model wrote, which nothing can load back",
            "archive the text that Booster.save_model writes",
        )
    if b'"learner"' in text:
        return "xgboost"
    if b'"oblivious_trees"' in text or b'"features_info"' in text:
        return _CATBOOST
    return None


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= min(size - 8, 100_000_000) and head[8:9] == b"{"


def _is_onnx(path: Path, head: bytes) -> bool:
    """Say whether the bytes are those of a ModelProto with a graph: its first field is the IR's version."""
    if len(head) < 4 or head[0] != 0x08 or not 1 <= head[1] <= 32:
        return False
    try:
        found = inspect_file(path)
    except NotArchivable:
        return False
    return bool(found.inputs or found.outputs)


def _zipped(path: Path) -> Foreign:
    try:
        with zipfile.ZipFile(path) as packed:
            names = {name.partition("/")[2] or name for name in packed.namelist()}
            whole = set(packed.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return Foreign("a zip file that is damaged", "make it again where the model is")
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return _TORCHSCRIPT
    if "archive_format" in names or "serialized_exported_program.json" in names | whole:
        return _EXPORTED
    if "data.pkl" in names:
        pickle = looked_into(path)
        return _WEIGHTS if pickle is None or pickle.holds_tensors_alone else _torch_pickle(pickle)
    if "model.weights.h5" in whole:
        return _KERAS
    if "schema.json" in whole:
        return _sklearn("scikit-learn's, saved by skops")
    if whole and all(name.endswith(".npy") for name in whole):
        return Foreign("arrays (.npz), no model", "give it as the inputs (--inputs), beside a model")
    return Foreign("a zip file, of a kind that is not known", f"load the model and archive it: {LIVE}")


def _pickled(pickle: Pickle) -> Foreign:
    if pickle.is_torch:
        return _WEIGHTS if pickle.holds_tensors_alone else _torch_pickle(pickle)
    for package in ("xgboost", "lightgbm"):
        if pickle.package == package:
            return Foreign(
                f"a pickle of {pickle.title}",
                f"load it in the Python that made it and archive the object: {LIVE}",
            )
    if pickle.package == "sklearn":
        return _sklearn(f"a pickle of {pickle.title}")
    if pickle.package == "catboost":
        return _CATBOOST
    return Foreign(
        f"a pickle{f' of {pickle.title}' if pickle.title else ''}: code that runs when it is loaded",
        "load it in the Python that made it; if it holds a PyTorch, XGBoost or LightGBM model, archive that"
        f" object: {LIVE}; else export the model to ONNX, and archive the .onnx file",
    )


def _torch_pickle(pickle: Pickle) -> Foreign:
    return Foreign(
        f"a PyTorch file that holds pickled objects{f' ({pickle.title})' if pickle.title else ''}",
        "load it in the Python that made it (torch.load(path, weights_only=False)) and archive the module:"
        f" {LIVE}",
    )


def _sklearn(what: str) -> Foreign:
    return Foreign(what, _SKLEARN)


def advice_for(package: str) -> str | None:
    """What to do with a live object of a package whose models can't be archived as they are."""
    return {"sklearn": _SKLEARN, "catboost": _CATBOOST.instead, "keras": _KERAS.instead}.get(package)


_SKLEARN = (
    "convert it to ONNX (skl2onnx.to_onnx) and archive the .onnx file; or, where its last step is an XGBoost"
    " or LightGBM model, archive that step with the inputs that the steps before it make"
)


_WEIGHTS = Foreign(
    "a PyTorch file of weights without their class",
    f"build the model by its class, load the weights into it (load_state_dict) and archive it: {LIVE}",
)
_SAFETENSORS = Foreign(
    "safetensors: weights without their class",
    "build the model by its class, load the weights into it (safetensors.torch.load_model) and archive it:"
    f" {LIVE}",
)
_TORCHSCRIPT = Foreign(
    "TorchScript", f"archive the nn.Module that it was made from: {LIVE}; or that module's ONNX export"
)
_EXPORTED = Foreign(
    "an exported PyTorch program (.pt2)",
    f"archive the nn.Module that it was made from: {LIVE}; or its ONNX export:"
    " torch.onnx.export(torch.export.load(path)).save('model.onnx')",
)
_KERAS = Foreign(
    "a Keras model",
    "export it to ONNX (model.export('model.onnx', format='onnx')) and archive the .onnx file",
)
_HDF5 = Foreign(
    "HDF5, as Keras writes it",
    "load it with Keras, export it to ONNX (model.export('model.onnx', format='onnx')) and archive the .onnx"
    " file",
)
_CATBOOST = Foreign(
    "a CatBoost model",
    "save it as ONNX with catboost (model.save_model('model.onnx', format='onnx')) and archive that file",
)
_XGBOOST_BINARY = Foreign(
    "a model in XGBoost's old binary format, which XGBoost reads no more since 3.1",
    "load it with an XGBoost before 3.1 (xgboost.Booster(model_file=path)), save it as JSON"
    " (save_model('model.json')) and archive that file",
)
_GGUF = Foreign(
    "GGUF, weights for llama.cpp, which no framework here runs",
    f"archive the PyTorch model that it was converted from: {LIVE}; or that model's ONNX export",
)
_TFLITE = Foreign(
    "a TensorFlow Lite model, which no framework here runs",
    "convert it to ONNX (tf2onnx, --tflite) and archive the .onnx file",
)
_MARKS = (
    (b"\x89HDF\r\n\x1a\n", 0, _HDF5),
    (b"GGUF", 0, _GGUF),
    (b"CBM1", 0, _CATBOOST),
    (b"TFL3", 4, _TFLITE),
    (b"binf", 0, _XGBOOST_BINARY),
    (b"bs64", 0, _XGBOOST_BINARY),
)
