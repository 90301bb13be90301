"""Model files of what no framework here archives, and what to do with them. Nothing is loaded.

A file that looks like one of these is named, and a way that works is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.pickles import Pickle
from timeproof.frameworks.registry import specs

LIVE = "timeproof.archive(model, inputs, grid_size=…)"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file that can't be archived as it is: `what` it is, within a sentence, and what to do `instead`."""

    what: str
    instead: str


def identify(file: ModelFile) -> Foreign | None:
    """Say what a file is that no framework takes for its own; None where the bytes tell nothing."""
    if file.is_zip:
        return _zipped(file.members)
    for mark, place, foreign in _MARKS:
        if file.head[place : place + len(mark)] == mark:
            return foreign
    return _pickled(file.pickle) if file.pickle else None


def advice_for(package: str) -> str | None:
    """What to do with a live object of a package whose models can't be archived as they are."""
    packages = {"sklearn": _SKLEARN_PART, "keras": _KERAS.instead}
    return packages.get(package)


def _zipped(members: frozenset[str] | None) -> Foreign:
    if members is None:
        return Foreign("a zip file that is damaged", "make it again where the model is")
    if "model.weights.h5" in members:
        return _KERAS
    if members and all(name.endswith(".npy") for name in members):
        return Foreign("arrays (.npz), no model", "give it as the inputs (--inputs), beside a model")
    return Foreign("a zip file, of a kind that is not known", f"load the model and archive it: {LIVE}")


def _pickled(pickle: Pickle) -> Foreign:
    # A pickled array is no model, though NumPy evaluates documents.
    if any(pickle.package == spec.module for spec in specs() if spec.module != "numpy"):
        return Foreign(
            f"a pickle of {pickle.title}",
            f"load it in the Python that made it and archive the object: {LIVE}",
        )
    return Foreign(
        f"a pickle{f' of {pickle.title}' if pickle.title else ''}: code that runs when it is loaded",
        f"load it in the Python that made it; if it holds {_archived()}, archive that object: {LIVE}; else"
        " export the model to ONNX, and archive the .onnx file",
    )


def _archived() -> str:
    """Name what is archived live, within a sentence: "a torch.nn.Module, … or an ONNX file"."""
    *first, last = [spec.takes for spec in specs() if spec.takes]
    return f"{', '.join(first)} or {last}" if first else last


_SKLEARN_PART = f"archive the estimator or the Pipeline that it is a part of: {LIVE}"
_KERAS = Foreign(
    "Keras weights without the model's configuration",
    "save the whole model (model.save('model.keras')) and archive that file; or archive the live keras.Model:"
    f" {LIVE}",
)
_HDF5 = Foreign(
    "HDF5, as Keras wrote it before .keras",
    "load it with Keras (keras.models.load_model), save it again (model.save('model.keras')) and archive that"
    " file",
)
_GGUF = Foreign(
    "GGUF, weights for llama.cpp, which no framework here runs",
    f"archive the model that it was converted from: {LIVE}; or that model's ONNX export",
)
_TFLITE = Foreign(
    "a TensorFlow Lite model, which no framework here runs",
    "convert it to ONNX (tf2onnx, --tflite) and archive the .onnx file",
)
_MARKS = (
    (b"\x89HDF\r\n\x1a\n", 0, _HDF5),
    (b"GGUF", 0, _GGUF),
    (b"TFL3", 4, _TFLITE),
)
