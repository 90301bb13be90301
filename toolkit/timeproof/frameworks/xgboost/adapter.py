"""Save XGBoost models: the Booster's own JSON (or UBJSON), and what the JSON drops."""

from __future__ import annotations

import importlib
import json
import math
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
from timeproof.frameworks.options import options_of
from timeproof.frameworks.trees.adapter import TreesAdapter, saved_file
from timeproof.frameworks.trees.ensemble import Ensemble, NoEnsemble
from timeproof.frameworks.trees.meanings import features_of
from timeproof.frameworks.trees.tables import (
    categorical_columns,
    hyper_parameters,
    is_frame,
    is_pandas,
    question_of,
    read_table,
)
from timeproof.frameworks.xgboost import FRAMEWORK
from timeproof.frameworks.xgboost.ensemble import ensemble_of
from timeproof.frameworks.xgboost.model import (
    categories_of,
    column_name,
    meaning_of,
    of_matrix,
    predicts_in_place,
)
from timeproof.frameworks.xgboost.model_file import best_iteration, format_of
from timeproof.frameworks.xgboost.options import XGBoostOptions

_FORMATS = ("json", "ubj")


class XGBoost(TreesAdapter):
    name = FRAMEWORK.name
    library = "xgboost"
    article = "an XGBoost"
    methods = ("predict", "predict_proba", "get_booster", "inplace_predict", "_get_iteration_range")
    margin, margin_option = FRAMEWORK.margin, "output_margin"

    def recognises(self, model: object) -> bool:
        return comes_from(model, "xgboost", frozenset({"Booster", "XGBModel"}))

    def booster_of(self, model: Any) -> Any:
        return _booster(model)

    def wrapper_class(self, model: Any) -> Any:
        return next(kind for kind in type(model).__mro__ if kind.__module__ == "xgboost.sklearn")

    def read_question(self, model: Any, original: object) -> Inputs:
        if comes_from(original, "xgboost", frozenset({"DMatrix"})):
            return of_matrix(original)
        return read_table(
            original,
            self.article,
            lambda frame: _trained(model, frame),
            column_name=column_name,
            only_trained=True,
        )

    def ask_booster(self, booster: Any, table: Any) -> dict[str, Array]:
        return _ask_booster(booster, table)

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.json`, or `.ubj` on request. Raises NotArchivable and BadRequest."""
        chosen = _format(options_of(XGBoostOptions, options.framework).format)
        original, table = question_of(inputs, self.article)
        notes: list[str] = []
        booster = _booster(model)
        wrapper = None if booster is model else type(model).__name__
        file = f"model_{tag}.{chosen}"
        booster.save_model(str(folder / file))
        meaning = meaning_of(model, booster)
        return Saved(
            framework=self.name,
            framework_version=str(sys.modules["xgboost"].__version__),
            files=(SavedFile(file, "model", f"xgboost-{chosen}"),),
            model=file,
            class_module=type(model).__module__,
            class_name=type(model).__qualname__,
            init_args={} if wrapper is None else hyper_parameters(model.get_params(), notes),
            options={
                **_settings(model, booster, wrapper, notes),
                # The wrappers predict in place; on dart that differs in the last bit from a DMatrix's answer.
                "in_place": wrapper is not None and predicts_in_place(model, original),
                # In place, a wrapper holds the names of pandas' columns alone against its own.
                **_of_table(table, booster.feature_names if wrapper is None or is_pandas(original) else None),
            },
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
            scores=meaning.scores,
            signature=meaning.signature(features_of(table, booster.feature_names, booster.feature_types)),
        )

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a model file, JSON or UBJSON by its bytes; it is replayed as a plain Booster."""
        _, table = question_of(inputs, self.article)
        chosen = format_of(path)
        if options_of(XGBoostOptions, options.framework).format not in {None, chosen}:
            raise BadRequest(
                f"{path} is kept as it is, in its own format",
                advice="leave the format out, or archive the live model to have another one",
            )
        file = f"model_{tag}.{chosen}"
        copy_bytes(path, folder / file)
        notes = ["answers are the plain Booster's, with all its trees"]
        if (best := best_iteration(path)) is not None:
            notes.append(_stopped(best) + " all of them. Archive the wrapper itself to have its answer")
        settings: dict[str, Json] = {
            "wrapper": None,
            "methods": ["predict"],
            "feature_names": None,
            "feature_types": None,
            "best_iteration": best,
            "iteration_range": None,
            "trees": None,
            "missing": None,
            "in_place": False,
            "probability": None,
            **_of_table(table, ()),
        }
        form = SavedFile(file, "model", f"xgboost-{chosen}")
        return saved_file(self.name, form, inputs, table, settings, tuple(notes))

    def ensemble(self, model: Any, folder: Path, saved: Saved) -> Ensemble:
        """Read the file that was saved; of UBJSON, the live model's JSON."""
        path = folder / saved.model
        if path.suffix == ".json":
            text = path.read_bytes()
        elif isinstance(model, Path):
            raise NoEnsemble("it is read from XGBoost's JSON, and this file is UBJSON")
        else:
            text = bytes(_booster(model).save_raw("json"))
        return ensemble_of(json.loads(text), saved.options, saved.signature)


def _trained(model: Any, frame: Any) -> Mapping[int, list[Any]]:
    """The categories that the model knows, for the columns of `frame` that hold some."""
    columns = categorical_columns(frame)
    if not columns:
        return {}
    if isinstance(model, Path):
        raise NotArchivable(
            f"the table has categories, and {model} does not say by itself which number each of them has",
            advice="load the file with xgboost and archive the object: model = xgboost.Booster(model_file=…);"
            " timeproof.archive(model, table, …)",
        )
    return categories_of(_booster(model), columns)


def _of_table(table: Table, names: object) -> dict[str, Json]:
    """What the probe must know of the table: its columns are held against `names`, the model's."""
    facts: dict[str, Json] = {}
    if table.columns and names is not None:
        facts["columns"] = [*table.columns]
    if table.sparse:
        facts["sparse"] = dict(table.sparse)
    return facts


def _stopped(best: int) -> str:
    return (
        f"the training was stopped early: the scikit-learn wrapper answers with the first {best + 1} rounds"
        " of trees (best_iteration), the Booster, as it is archived here, with"
    )


def _format(form: str | None) -> str:
    chosen = form or "json"
    if chosen not in _FORMATS:
        raise BadRequest(
            f"XGBoost models are not saved as {chosen!r}",
            advice=f"the format is one of {', '.join(_FORMATS)}",
        )
    return chosen


def _booster(model: Any) -> Any:
    if not hasattr(model, "get_booster"):
        return model
    try:
        return model.get_booster()
    except Exception as error:  # the wrapper's NotFittedError comes from scikit-learn or from xgboost
        raise NotArchivable(
            f"the {type(model).__name__} has not been fitted: {error}", advice="call fit first"
        ) from error


def _ask_booster(booster: Any, original: Any) -> dict[str, Array]:
    """Ask a Booster as its user does, who makes a DMatrix of a table; an array gets the model's own names."""
    xgboost: Any = importlib.import_module("xgboost")
    if isinstance(original, xgboost.DMatrix):
        table = original
    elif is_frame(original):
        table = xgboost.DMatrix(original, enable_categorical=True)
    else:
        types = booster.feature_types
        table = xgboost.DMatrix(
            np.asarray(original) if isinstance(original, (list, tuple)) else original,
            feature_names=booster.feature_names,
            feature_types=types,
            enable_categorical=bool(types and "c" in types),
        )
    margin = booster.predict(table, output_margin=True)
    return {"predict": np.asarray(booster.predict(table)), "margin": np.asarray(margin)}


def _settings(model: Any, booster: Any, wrapper: str | None, notes: list[str]) -> dict[str, Json]:
    """Say how the probe must ask the Booster to give what the user's object gives."""
    best = getattr(model, "best_iteration", None) if wrapper else None
    linear = getattr(model, "booster", None) == "gblinear"
    rounds = int(booster.num_boosted_rounds())
    stopped = booster.attr("best_iteration")
    if wrapper is None and stopped is not None and int(stopped) + 1 < rounds:
        notes.append(_stopped(int(stopped)) + f" all {rounds} of them, and so does the replay")
    classifies = hasattr(model, "predict_proba")
    missing = getattr(model, "missing", None)
    plain = (
        None if missing is None or (isinstance(missing, float) and math.isnan(missing)) else float(missing)
    )
    return {
        "wrapper": wrapper,
        "methods": ["predict_proba"] if classifies else ["predict"],
        "feature_names": booster.feature_names,
        "feature_types": booster.feature_types,
        "best_iteration": None if best is None else int(best),
        "iteration_range": None if best is None or linear else [0, int(best) + 1],
        "trees": {"used": rounds if best is None or linear else int(best) + 1, "of": rounds},
        "missing": plain,
        "probability": "softmax" if classifies and model.objective == "multi:softmax" else None,
    }
