"""Save scikit-learn models by skops: no pickle, no code of the user's own, equal bytes for equal objects."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from timeproof.frameworks.inputs import Inputs
from timeproof.frameworks.options import options_of
from timeproof.frameworks.registry import specs
from timeproof.frameworks.sklearn import FRAMEWORK, dumping, meaning, onnx_export, skops_file
from timeproof.frameworks.sklearn.ensemble import ensemble_of
from timeproof.frameworks.sklearn.options import SklearnOptions
from timeproof.frameworks.sklearn.probe import asking
from timeproof.frameworks.sklearn.question import question_of, read_question
from timeproof.frameworks.trees import overrides
from timeproof.frameworks.trees.ensemble import Ensemble, NoEnsemble


class Sklearn(AdapterDefaults):
    name = FRAMEWORK.name
    exports = "onnx"

    def recognises(self, model: object) -> bool:
        """Say whether it is an estimator, and not one of a library that has a framework of its own here."""
        if not comes_from(model, "sklearn", frozenset({"BaseEstimator"})):
            return False
        foreign = {spec.module for spec in specs()} - {FRAMEWORK.module}
        return not any(kind.__module__.partition(".")[0] in foreign for kind in type(model).__mro__)

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def inputs(self, model: Any, original: object) -> Inputs:
        """Read the one table. Raises NotArchivable where it has no bytes that last."""
        del model
        return read_question(original)

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.skops`. Raises NotArchivable and BadRequest."""
        chosen = _options(options)
        _, question = question_of(inputs)
        methods = _methods(model, chosen.methods)
        data, types = dumping.dump(model)
        file = f"model_{tag}.skops"
        (folder / file).write_bytes(data)
        meant = meaning.meaning_of(model, methods)
        return Saved(
            framework=self.name,
            framework_version=str(sys.modules["sklearn"].__version__),
            files=(SavedFile(file, "model", "skops"),),
            model=file,
            class_module=type(model).__module__,
            class_name=type(model).__qualname__,
            init_args=meaning.parameters_of(model),
            options={"methods": [*methods], "types": [*types], **question.options},
            copies=(),
            source_files=(),
            notes=tuple(dumping.remarks(model)),
            input_names=tuple(inputs),
            scores=meant.scores,
            signature=meant.signature(meaning.features(model, question)),
        )

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a `.skops` file, whose types its own schema names; it is not loaded. Raises NotArchivable."""
        chosen = _options(options)
        _, question = question_of(inputs)
        types = dumping.types_of(skops_file.read_schema(path), str(path))
        file = f"model_{tag}.skops"
        copy_bytes(path, folder / file)
        module, name = skops_file.class_of(skops_file.read_schema(folder / file))
        return Saved(
            framework=self.name,
            framework_version=None,
            files=(SavedFile(file, "model", "skops"),),
            model=file,
            class_module=module,
            class_name=name,
            init_args={},
            options={
                "methods": None if chosen.methods is None else [*chosen.methods],
                "types": [*types],
                **question.options,
            },
            copies=(),
            source_files=(),
            notes=("the types that the file may make are those that it names itself",),
            input_names=tuple(inputs),
            signature=meaning.signature_of(question),
        )

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the user's own object with the user's own table. Raises NotArchivable.

        A file is asked by the container alone: to load it here would make whatever it names.
        """
        if isinstance(model, Path):
            raise NoRuntime(
                "this process does not load .skops files",
                advice="archive the live object, or hand in the answer that you know: expected=…",
            )
        original, _ = question_of(inputs)
        with answering(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the library warns of, the user has seen in training
            outputs = asking.ask(model, original, _names(saved.options["methods"]))
        return {name: array for name, array, _ in outputs}

    def differences(self, model: object, saved: Saved) -> list[str]:
        """Say why the container may answer otherwise than the user's own object."""
        return overrides.differences(model, "sklearn", _names(saved.options["methods"]))

    def wants_export(self, options: SaveOptions) -> bool:
        return _options(options).onnx

    def interchange(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        folder: Path,
        tag: str,
        options: SaveOptions,
        saved: Saved,
    ) -> Saved:
        """Write `model_<tag>.onnx` beside the model, where skl2onnx can; a note says why not."""
        _, question = question_of(inputs)
        methods = _names(saved.options["methods"])
        try:
            copy, files = onnx_export.export(model, inputs, question, methods, folder, tag, options)
        except onnx_export.NoCopy as reason:
            return replace(saved, notes=(*saved.notes, f"there is no ONNX copy: {reason}"))
        return replace(saved, files=(*saved.files, *files), copies=(*saved.copies, copy))

    def ensemble(self, model: Any, folder: Path, saved: Saved) -> Ensemble:  # noqa: ARG002
        """Give a forest or a boosting as an ensemble of trees. Raises NoEnsemble."""
        if isinstance(model, Path):
            raise NoEnsemble("this process does not load .skops files")
        return ensemble_of(model, saved.options)


def _options(options: SaveOptions) -> SklearnOptions:
    chosen = options_of(SklearnOptions, options.framework)
    if chosen.format not in {None, "skops"}:
        raise BadRequest(
            f"scikit-learn models are not saved as {chosen.format!r}",
            advice="leave the format out: skops is the only one that needs no pickle",
        )
    return chosen


def _names(methods: Any) -> list[str]:
    return [str(name) for name in methods or ()]


def _methods(model: Any, chosen: Sequence[str] | None) -> list[str]:
    """What the model is asked by. Raises NotArchivable where it has none, or not the chosen ones."""
    kind = type(model).__name__
    _require_fitted(model)
    methods = [*chosen] if chosen else asking.default_methods(model)
    if absent := [name for name in methods if not asking.has(model, name)]:
        present = ", ".join(name for name in asking.METHODS if asking.has(model, name))
        raise NotArchivable(f"the {kind} has no {absent[0]}", advice=f"it has {present or 'none of them'}")
    if not methods:
        only = " it answers only while it is fitted (fit_predict, fit_transform)" if _fits_only(model) else ""
        raise NotArchivable(
            f"the {kind} has no predict, no transform and no score_samples:{only or ' it can not be asked'}",
            advice="archive a model that answers new rows, such as a classifier trained on these answers",
        )
    return methods


def _fits_only(model: object) -> bool:
    return any(callable(getattr(model, name, None)) for name in ("fit_predict", "fit_transform"))


def _require_fitted(model: Any) -> None:
    validation: Any = importlib.import_module("sklearn.utils.validation")
    exceptions: Any = importlib.import_module("sklearn.exceptions")
    try:
        validation.check_is_fitted(model)
    except exceptions.NotFittedError as error:
        raise NotArchivable(
            f"the {type(model).__name__} has not been fitted", advice="call fit first"
        ) from error
    except TypeError:  # no estimator by scikit-learn's rules: whether it answers, is seen when it is asked
        return
