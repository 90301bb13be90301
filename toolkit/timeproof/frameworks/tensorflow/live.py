"""Live Keras and TensorFlow models: what they call their inputs, what is called, how Keras writes its file.

TensorFlow and Keras are imported only where such a model is at hand.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import comes_from
from timeproof.frameworks.tensorflow import exporting, keras_file

EVALUATING = {"training": False}


def is_keras(model: object) -> bool:
    return comes_from(model, "keras", frozenset({"Model"}))


def target_of(model: Any, method: str) -> tuple[Any, Mapping[str, Any]]:
    """What is called, and what goes along. Raises NotArchivable where a tf.Module has no such method."""
    if is_keras(model):
        return model, EVALUATING
    target = model if method == "__call__" and callable(model) else getattr(model, method, None)
    if not callable(target):
        raise NotArchivable(
            f"a {type(model).__name__} has no method {method!r} that answers",
            advice="name the method that does: TensorFlowOptions(method='…'); what tf.saved_model.load"
            " gave is archived by its folder",
        )
    return target, {}


def own_names(model: Any) -> tuple[str, ...]:
    """What a functional or sequential model calls its inputs; none for a class of one's own."""
    structure = getattr(model, "_inputs_struct", None)
    if isinstance(structure, Mapping):
        return tuple(structure)
    try:
        return tuple(str(tensor._keras_history.operation.name) for tensor in model.inputs or ())
    except (AttributeError, ValueError, TypeError):  # a class of one's own has no such list
        return ()


def takes_mapping(model: Any) -> bool:
    return isinstance(getattr(model, "_inputs_struct", None), Mapping)


def check_keras(model: Any) -> None:
    """Raise NotArchivable where this process's Keras can't write a file that comes back."""
    keras: Any = importlib.import_module("keras")
    if int(str(keras.__version__).partition(".")[0]) < 3:
        raise NotArchivable(
            f"the model is of Keras {keras.__version__}, before 3",
            advice="save its graph (model.export(folder)), and archive that folder",
        )
    if (backend := keras.config.backend()) != "tensorflow":
        raise NotArchivable(
            f"Keras runs on {backend} in this process, the container on TensorFlow: they answer otherwise",
            advice="save the model (model.save('model.keras')), and load and archive it where KERAS_BACKEND"
            " is tensorflow",
        )
    if not model.built:
        raise NotArchivable("the model has not been built", advice="call it once, with its inputs")


def write_keras(model: Any, path: Path) -> None:
    """Write the file, less what differs between processes. Raises NotArchivable."""
    try:
        with exporting.quiet():
            model.save(str(path))
    except Exception as error:  # whatever a layer of one's own raises
        raise NotArchivable(
            f"Keras can't save the model: {type(error).__name__}: {str(error).strip()[:300]}",
            advice=keras_file.AS_GRAPH,
        ) from error
    keras_file.inspect(path, type(model).__name__)
    path.write_bytes(keras_file.normalise(path.read_bytes()))
