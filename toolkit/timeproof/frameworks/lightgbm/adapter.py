"""Save LightGBM models: the text file, which is what every version reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import (
    Array,
    Saved,
    SavedFile,
    SaveOptions,
    comes_from,
    copy_bytes,
)
from timeproof.frameworks.inputs import Inputs, Table
from timeproof.frameworks.lightgbm import FRAMEWORK
from timeproof.frameworks.lightgbm.ensemble import ensemble_of
from timeproof.frameworks.lightgbm.model import categories_of, facts_of, meaning_of
from timeproof.frameworks.lightgbm.options import LightGBMOptions
from timeproof.frameworks.options import options_of
from timeproof.frameworks.trees.adapter import TreesAdapter, saved_file
from timeproof.frameworks.trees.ensemble import Ensemble
from timeproof.frameworks.trees.meanings import features_of
from timeproof.frameworks.trees.tables import (
    categorical_columns,
    hyper_parameters,
    plain,
    question_of,
    read_table,
)

_FORMATS = ("text", "txt", "json")
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


class LightGBM(TreesAdapter):
    name = FRAMEWORK.name
    library = "lightgbm"
    article = "a LightGBM"
    methods = ("predict", "predict_proba", "booster_", "_process_params")
    margin, margin_option = FRAMEWORK.margin, "raw_score"

    def recognises(self, model: object) -> bool:
        return comes_from(model, "lightgbm", frozenset({"Booster", "LGBMModel"}))

    def booster_of(self, model: Any) -> Any:
        return _booster(model)

    def wrapper_class(self, model: Any) -> Any:
        return next(kind for kind in type(model).__mro__ if kind.__name__ == "LGBMModel")

    def read_question(self, model: Any, original: object) -> Inputs:
        return read_table(original, self.article, lambda frame: _trained(model, frame))

    def labels_of(self, model: Any, values: Any) -> Array:
        return _labels(model, values)

    def ask_booster(self, booster: Any, table: Any) -> dict[str, Array]:
        return {
            "predict": np.asarray(booster.predict(table)),
            "raw_score": np.asarray(booster.predict(table, raw_score=True)),
        }

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.txt`, and beside it `.json` on request. Raises NotArchivable and BadRequest."""
        form = options_of(LightGBMOptions, options.framework).format
        _check_format(form)
        _, table = question_of(inputs, self.article)
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
            init_args=hyper_parameters(_parameters(model, booster), notes),
            options={**settings, **_of_table(table)},
            copies=(),
            source_files=(),
            notes=tuple(notes),
            misconverted=_LINEAR_COPY if facts.linear else "",
            input_names=tuple(inputs),
            scores=meaning.scores,
            signature=meaning.signature(features_of(table, _names(booster))),
        )

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a text model file."""
        _, table = question_of(inputs, self.article)
        if options_of(LightGBMOptions, options.framework).format not in {None, "text", "txt"}:
            raise BadRequest(
                f"{path} is kept as it is, as text",
                advice="leave the format out, or archive the live model to have a JSON dump beside it",
            )
        file = f"model_{tag}.txt"
        copy_bytes(path, folder / file)
        linear = facts_of(folder / file).linear
        settings: dict[str, Json] = {
            "num_iteration": None,
            "methods": ["predict"],
            "two_columns": False,
            "linear_tree": linear,
            "trees": None,
            **_of_table(table),
        }
        return saved_file(
            self.name,
            SavedFile(file, "model", "lightgbm-text"),
            inputs,
            table,
            settings,
            (_LINEAR_NOTE,) if linear else (),
            misconverted=_LINEAR_COPY if linear else "",
        )

    def ensemble(self, model: Any, folder: Path, saved: Saved) -> Ensemble:  # noqa: ARG002
        """Read the text that was saved."""
        text = (folder / saved.model).read_text(encoding="utf-8", errors="replace")
        return ensemble_of(text, saved.options, saved.signature)


def _trained(model: Any, frame: Any) -> Mapping[int, list[Any]]:
    """The categories that the model was trained with, for the columns of `frame` that hold some."""
    columns = categorical_columns(frame)
    if not columns:
        return {}
    categories = categories_of(model) if isinstance(model, Path) else _booster(model).pandas_categorical
    if categories is None:  # trained on an array: the numbers are those of the table's own categories
        return {}
    # LightGBM takes the columns of categories in their order, whatever they are called.
    if len(categories) != len(columns):
        raise NotArchivable(
            f"the table has {len(columns)} columns of categories, the model was trained with"
            f" {len(categories)}",
            advice="give a table with the columns and the types that the model was trained with",
        )
    return dict(zip(columns, categories, strict=True))


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
    predicting = {name: plain(parameters[name]) for name in _PREDICTING if parameters.get(name) is not None}
    return {"predict_parameters": predicting} if predicting else {}


def _check_format(form: str | None) -> None:
    if form is not None and form not in _FORMATS:
        raise BadRequest(
            f"LightGBM models are not saved as {form!r}", advice="the format is text, or json to have both"
        )


def _booster(model: Any) -> Any:
    if not hasattr(model, "booster_"):
        if comes_from(model, "lightgbm", frozenset({"LGBMModel"})):
            raise NotArchivable(f"the {type(model).__name__} has not been fitted", advice="call fit first")
        return model
    return model.booster_


def _parameters(model: Any, booster: Any) -> Mapping[str, object]:
    values: Mapping[str, object] = model.get_params() if hasattr(model, "get_params") else booster.params
    return values
