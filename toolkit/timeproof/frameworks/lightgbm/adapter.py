"""Save LightGBM models: the text file, which is what every version reads."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks import model_files
from timeproof.frameworks.base import (
    AdapterDefaults,
    Array,
    Saved,
    SavedFile,
    SaveOptions,
    answering,
    comes_from,
    copy_bytes,
)
from timeproof.frameworks.inputs import Inputs, Table
from timeproof.frameworks.lightgbm import FRAMEWORK
from timeproof.frameworks.lightgbm.model import categories_of, facts_of, meaning_of
from timeproof.frameworks.lightgbm.options import LightGBMOptions
from timeproof.frameworks.options import options_of
from timeproof.frameworks.trees import overrides
from timeproof.frameworks.trees.meanings import features_of, signature_of
from timeproof.frameworks.trees.tables import asked, categorical_columns, hyper_parameters, plain, read_table

_FORMATS = ("text", "txt", "json")
# What decides on the answer of a wrapper, or of a Booster.
_METHODS = ("predict", "predict_proba", "booster_", "_process_params")
# Parameters of a wrapper that its predict hands on.
_PREDICTING = (
    "pred_early_stop",
    "pred_early_stop_freq",
    "pred_early_stop_margin",
    "predict_disable_shape_check",
)
_LINEAR_NOTE = (
    "its trees are linear (linear_tree): converters to ONNX drop that without an error, and every row of such"
    " a copy is wrong; replay and share the text file"
)

_LINEAR_COPY = (
    "the LightGBM model has linear trees (linear_tree), which converters to ONNX drop without an error: every"
    " row of the copy is wrong"
)


class LightGBM(AdapterDefaults):
    name = FRAMEWORK.name

    def recognises(self, model: object) -> bool:
        return comes_from(model, "lightgbm", frozenset({"Booster", "LGBMModel"}))

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def inputs(self, model: Any, given: object) -> Inputs:
        """Read the one table, and ask the model with it as its user does: what it refuses, is refused here.

        Raises NotArchivable, in LightGBM's words where they are LightGBM's.
        """
        inputs = read_table(given, "a LightGBM", lambda frame: _trained(model, frame))
        if not isinstance(model, Path):
            self._ask(model, inputs)
        return inputs

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.txt`, and beside it `.json` on request. Raises NotArchivable and BadRequest."""
        form = options_of(LightGBMOptions, options.framework).format
        _check_format(form)
        _, table = asked(inputs, "a LightGBM")
        booster = _booster(model)
        notes: list[str] = []
        file = f"model_{tag}.txt"
        # All trees are kept; which of them answer is told to the probe.
        booster.save_model(str(folder / file), num_iteration=-1)
        files = [SavedFile(file, "model", "lightgbm-text")]
        if form == "json":
            dump = f"model_{tag}.json"
            text = json.dumps(booster.dump_model(num_iteration=-1), indent=1, allow_nan=True)
            (folder / dump).write_text(text + "\n", encoding="utf-8")
            files.append(SavedFile(dump, "optional", "lightgbm-json"))
            notes.append(f"{dump} can't be loaded back by LightGBM: {file} is the file that is replayed")
        facts = facts_of(folder / file)
        if facts.linear:
            notes.append(_LINEAR_NOTE)
        settings = _settings(model, booster, notes, linear=facts.linear)
        meaning = meaning_of(model, booster, facts.objective, two_columns=bool(settings["two_columns"]))
        return Saved(
            framework=self.name,
            framework_version=str(sys.modules["lightgbm"].__version__),
            files=tuple(files),
            model=file,
            class_module=type(model).__module__,
            class_name=type(model).__qualname__,
            init_args=hyper_parameters(_given(model, booster), notes),
            options={**settings, **_of_table(table)},
            copies=(),
            source_files=(),
            notes=tuple(notes),
            misconverted=_LINEAR_COPY if facts.linear else "",
            input_names=tuple(inputs),
            scores=meaning.scores,
            signature=meaning.signature(features_of(table, _names(booster))),
        )

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the user's own object, with the user's own table: `predict_proba` or `predict`, raw scores.

        A classifier whose `predict` is the user's own gives its labels, too, where they are others than
        LightGBM's: no container can give those. A file is asked where this process has the library in use.

        Raises NotArchivable.
        """
        if isinstance(model, Path):
            return model_files.answers(self.name, model, asked(inputs, "a LightGBM")[0], saved.options)
        return self._ask(model, inputs)

    def differences(self, model: object, saved: Saved) -> list[str]:  # noqa: ARG002 - every adapter is called alike
        """Say why the container may answer otherwise than the user's own object."""
        return overrides.differences(model, "lightgbm", _METHODS)

    def _ask(self, model: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
        given, _ = asked(inputs, "a LightGBM")
        booster = _booster(model)
        with answering(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a wrapper that was fitted on a table with names
            if booster is model:
                return {
                    "predict": np.asarray(model.predict(given)),
                    "raw_score": np.asarray(model.predict(given, raw_score=True)),
                }
            found: dict[str, Array] = {}
            classifies = hasattr(model, "predict_proba")
            method = "predict_proba" if classifies else "predict"
            found[method] = np.asarray(getattr(model, method)(given))
            library: Any = next(kind for kind in type(model).__mro__ if kind.__name__ == "LGBMModel")
            if classifies and overrides.replaced(model, "lightgbm", "predict"):
                labels = np.asarray(model.predict(given))
                if not np.array_equal(labels, _labels(model, library.predict(model, given))):
                    found["predict"] = labels
            found["raw_score"] = np.asarray(library.predict(model, given, raw_score=True))
            return found

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a text model file."""
        _, table = asked(inputs, "a LightGBM")
        if options_of(LightGBMOptions, options.framework).format not in {None, "text", "txt"}:
            raise BadRequest(
                f"{path} is kept as it is, as text",
                advice="leave the format out, or archive the live model to have a JSON dump beside it",
            )
        file = f"model_{tag}.txt"
        copy_bytes(path, folder / file)
        linear = facts_of(folder / file).linear
        return Saved(
            framework=self.name,
            framework_version=None,
            files=(SavedFile(file, "model", "lightgbm-text"),),
            model=file,
            class_module=None,
            class_name=None,
            init_args={},
            options={
                "num_iteration": None,
                "methods": ["predict"],
                "two_columns": False,
                "linear_tree": linear,
                "trees": None,
                **_of_table(table),
            },
            copies=(),
            source_files=(),
            notes=(_LINEAR_NOTE,) if linear else (),
            misconverted=_LINEAR_COPY if linear else "",
            input_names=tuple(inputs),
            signature=signature_of(table),
        )


def _trained(model: Any, frame: Any) -> Mapping[int, list[Any]]:
    """The categories that the model was trained with, for the columns of `frame` that hold some."""
    columns = categorical_columns(frame)
    if not columns:
        return {}
    kept = categories_of(model) if isinstance(model, Path) else _booster(model).pandas_categorical
    if kept is None:  # trained on an array: LightGBM takes the numbers that the table's own categories have
        return {}
    # LightGBM takes the columns of categories in their order, whatever they are called.
    if len(kept) != len(columns):
        raise NotArchivable(
            f"the table has {len(columns)} columns of categories, the model was trained with {len(kept)}",
            advice="give a table with the columns and the types that the model was trained with",
        )
    return dict(zip(columns, kept, strict=True))


def _labels(model: Any, values: Any) -> Array:
    """The labels that LGBMClassifier.predict makes of the Booster's values (lightgbm/sklearn.py)."""
    if callable(model.objective_):
        return np.asarray(values)
    best = np.argmax(values, axis=1) if values.ndim == 2 else (values > 0.5).astype(int)
    return np.asarray(model.classes_[best])


def _names(booster: Any) -> list[str] | None:
    """The names of the features, unless they are those that LightGBM makes up."""
    names = booster.feature_name()
    return None if names == [f"Column_{k}" for k in range(len(names))] else names


def _of_table(table: Table) -> dict[str, Json]:
    """What the probe must know of the table. LightGBM takes columns by their place, not by their names."""
    return {"sparse": dict(table.sparse)} if table.sparse else {}


def _settings(model: Any, booster: Any, notes: list[str], *, linear: bool) -> dict[str, Json]:
    """Say how the probe must ask the Booster to give what the user's object gives."""
    best = booster.best_iteration
    used = int(best) if best is not None and best > 0 else None
    trained = int(booster.current_iteration())
    if used is not None and used < trained:
        notes.append(
            f"the model was stopped early: the answer is that of {used} of its {trained} iterations, as its"
            " own predict gives it; whoever loads the file by hand gets all of them"
        )
    # As LGBMClassifier.predict_proba does: two columns for two classes, unless the objective is a function.
    classifies = hasattr(model, "predict_proba")
    two = classifies and not callable(model.objective_) and model.n_classes_ <= 2
    return {
        "num_iteration": used,
        "methods": ["predict_proba"] if classifies else ["predict"],
        "two_columns": bool(two) and booster.num_model_per_iteration() == 1,
        "linear_tree": linear,
        "trees": {"used": trained if used is None else used, "of": trained},
        **_predicting(model),
    }


def _predicting(model: Any) -> dict[str, Json]:
    """The wrapper's parameters that change how it predicts, where it has some."""
    parameters = model.get_params() if hasattr(model, "get_params") else {}
    found = {name: plain(parameters[name]) for name in _PREDICTING if parameters.get(name) is not None}
    return {"predict_parameters": found} if found else {}


def _check_format(asked: str | None) -> None:
    if asked is not None and asked not in _FORMATS:
        raise BadRequest(
            f"LightGBM models are not saved as {asked!r}", advice="the format is text, or json to have both"
        )


def _booster(model: Any) -> Any:
    if not hasattr(model, "booster_"):
        if comes_from(model, "lightgbm", frozenset({"LGBMModel"})):
            raise NotArchivable(f"the {type(model).__name__} has not been fitted", advice="call fit first")
        return model
    return model.booster_


def _given(model: Any, booster: Any) -> Mapping[str, object]:
    given: Mapping[str, object] = model.get_params() if hasattr(model, "get_params") else booster.params
    return given
