"""Save Keras and TensorFlow models: `.keras` files and SavedModel folders; never loaded here, never code.

A live model is asked by a plain call, in evaluation mode: `model(x, training=False)`. `model.predict` cuts
the rows into batches of 32, and compiles a model that was compiled by XLA; both may change last bits.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import (
    AdapterDefaults,
    Array,
    NoRuntime,
    Saved,
    SavedFile,
    SaveOptions,
    answering,
    comes_from,
    copy_bytes,
)
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.foreign_files import Foreign
from timeproof.frameworks.options import options_of
from timeproof.frameworks.tensorflow import FRAMEWORK, exporting, keras_file, live, saved_model
from timeproof.frameworks.tensorflow.options import TensorFlowOptions
from timeproof.frameworks.tensorflow.passing import bind
from timeproof.frameworks.tensorflow.probe import asking

_FORMATS = ("keras", "saved_model")
_TEXT_GRAPH = Foreign(
    "a SavedModel whose graph is text or is cut into pieces",
    "load it (tf.saved_model.load) and save it again: tf.saved_model.save(model, folder)",
)


class TensorFlow(AdapterDefaults):
    name = FRAMEWORK.name
    exports = "onnx"

    def recognises(self, model: object) -> bool:
        return live.is_keras(model) or comes_from(model, "tensorflow", frozenset({"Module", "AutoTrackable"}))

    def input_name(self, model: object) -> str | None:
        """Name a Keras model's input, where it has just one and its user has named it."""
        names = live.own_names(model) if live.is_keras(model) else ()
        return names[0] if len(names) == 1 and not names[0].startswith("input_layer") else None

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.keras`, or the graph as `model_<tag>/`. Raises NotArchivable and BadRequest."""
        chosen = options_of(TensorFlowOptions, options.framework)
        _check_format(chosen.format)
        keras_model = live.is_keras(model)
        if keras_model:
            live.check_keras(model)
        elif chosen.format == "keras":
            raise BadRequest("only a keras.Model is saved as keras", advice="leave the format out")
        if chosen.signature is not None:
            raise BadRequest("a live model has no signature to choose", advice="give the folder, or method=…")
        names = live.own_names(model) if keras_model else ()
        call = bind(inputs, names, type(model).__name__, mapping=keras_model and live.takes_mapping(model))
        if not keras_model:
            call["kind"] = "keywords" if call["kind"] == "mapping" else "arguments"
        if keras_model and chosen.format != "saved_model":
            file = f"model_{tag}.keras"
            live.write_keras(model, folder / file)
            files, settings = [SavedFile(file, "model", "keras")], _keras_settings(call)
        else:
            files, settings = self._write_graph(model, inputs, call, folder, tag, chosen)
        kind = type(model)
        return _saved(
            files,
            settings,
            inputs,
            version=str(sys.modules["tensorflow"].__version__),
            class_name=(kind.__module__, kind.__qualname__),
        )

    def _write_graph(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        call: dict[str, Any],
        folder: Path,
        tag: str,
        chosen: TensorFlowOptions,
    ) -> tuple[list[SavedFile], dict[str, Json]]:
        target, more = live.target_of(model, chosen.method)
        order = [name for name, _, _ in self._ask(target, inputs, call, more)]
        files, names = exporting.write_saved_model(model, target, inputs, call, more, folder, tag)
        description = saved_model.inspect((folder / files[0].path).parent)
        saved_model.check_operators(description, type(model).__name__)
        pairs: list[Json] = [
            {"input": entry["input"], "as": name} for entry, name in zip(call["inputs"], names, strict=True)
        ]
        settings: dict[str, Json] = {
            "kind": "saved_model",
            "signature": exporting.SIGNATURE,
            "asked": {"kind": "keywords", "inputs": pairs},
            "outputs": [*order],
            "live": call,
            "method": chosen.method,
        }
        return files, settings

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Call the live model as its user does, in evaluation mode. A file is not loaded here.

        Raises NoRuntime for a file.
        """
        if isinstance(model, Path):
            raise NoRuntime(
                f"{model} is loaded in the container alone",
                advice="hand in the answer that you know: expected=…, or archive the live model",
            )
        call = saved.options.get("live") or saved.options["asked"]
        target, more = live.target_of(model, str(saved.options.get("method", "__call__")))
        return {name: array for name, array, _ in self._ask(target, inputs, call, more)}

    def _ask(
        self, target: Any, inputs: Mapping[str, Array], call: Any, more: Mapping[str, Any]
    ) -> list[tuple[str, Array, str]]:
        with answering():
            answer = asking.ask(target, asking.tensors_of(dict(inputs), call), call, **more)
        try:
            return asking.arrays_of(answer)
        except (ValueError, TypeError) as error:
            raise NotArchivable(
                f"the model's answer can't be stored: {error}",
                advice="return a dense tensor, or tuples, lists and dictionaries of them",
            ) from None

    def wants_export(self, options: SaveOptions) -> bool:
        return options_of(TensorFlowOptions, options.framework).onnx

    def interchange(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        folder: Path,
        tag: str,
        options: SaveOptions,
        saved: Saved,
    ) -> Saved:
        """Write `model_<tag>.onnx` beside the model, where tf2onnx can; a note says why not."""
        notes: list[str] = []
        call: Any = saved.options.get("live") or saved.options["asked"]
        target, more = live.target_of(model, str(saved.options.get("method", "__call__")))
        exported = exporting.write_onnx(target, inputs, call, more, folder, tag, options, notes)
        saved = replace(saved, notes=(*saved.notes, *notes))
        if exported is None:
            return saved
        copy, files = exported
        return replace(saved, files=(*saved.files, *files), copies=(*saved.copies, copy))

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a `.keras` file's or a SavedModel folder's bytes. Raises NotArchivable and BadRequest."""
        chosen = options_of(TensorFlowOptions, options.framework)
        kind = "saved_model" if path.is_dir() else "keras"
        _check_format(chosen.format)
        if chosen.format not in {None, kind}:
            raise BadRequest(f"{path} is kept as it is, as {kind}", advice="leave the format out")
        if kind == "keras":
            if chosen.signature is not None:
                raise BadRequest(f"{path} has no signatures", advice="leave the signature out")
            contents = keras_file.inspect(path)
            call = bind(inputs, contents.inputs, path, mapping=contents.mapping)
            file = f"model_{tag}.keras"
            copy_bytes(path, folder / file)
            return _saved([SavedFile(file, "model", "keras")], _keras_settings(call), inputs)
        description = saved_model.inspect(path)
        saved_model.check_operators(description, path)
        name = saved_model.signature(description, chosen.signature, path)
        takes, gives = description.signatures[name]
        call = bind(inputs, tuple(takes), path, mapping=True, keywords=True)
        saved_model.check_inputs(
            {entry["as"]: inputs[entry["input"]] for entry in call["inputs"]}, takes, path
        )
        settings: dict[str, Json] = {
            "kind": kind,
            "signature": name,
            "asked": call,
            "outputs": [*sorted(gives)],
        }
        return _saved(exporting.copy_folder(path, folder, tag), settings, inputs)


def sniff(file: ModelFile) -> bool | Foreign:
    """Say whether it is a `.keras` file or a SavedModel folder."""
    if file.is_folder:
        if (file.path / saved_model.GRAPH).is_file():
            return True
        other = any((file.path / name).is_file() for name in ("saved_model.pbtxt", "saved_model.cpb"))
        return _TEXT_GRAPH if other else False
    return file.is_zip and file.members is not None and keras_file.looks_like(file.members)


def _saved(
    files: list[SavedFile],
    settings: Mapping[str, Json],
    inputs: Mapping[str, Array],
    *,
    version: str | None = None,
    class_name: tuple[str | None, str | None] = (None, None),
) -> Saved:
    return Saved(
        framework=FRAMEWORK.name,
        framework_version=version,
        files=tuple(files),
        model=files[0].path,
        class_module=class_name[0],
        class_name=class_name[1],
        init_args={},
        options=settings,
        copies=(),
        source_files=(),
        notes=(),
        input_names=tuple(inputs),
    )


def _keras_settings(call: dict[str, Any]) -> dict[str, Json]:
    return {"kind": "keras", "asked": call}


def _check_format(form: str | None) -> None:
    if form is not None and form not in _FORMATS:
        raise BadRequest(
            f"Keras and TensorFlow models are not saved as {form!r}",
            advice="the format is keras or saved_model; an old .h5 file is loaded, and archived live",
        )
