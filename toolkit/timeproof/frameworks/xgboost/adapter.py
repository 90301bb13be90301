"""Save XGBoost models: the Booster's own JSON (or UBJSON), and what the JSON drops."""

from __future__ import annotations

import importlib
import math
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
from timeproof.frameworks.options import options_of
from timeproof.frameworks.trees import overrides
from timeproof.frameworks.trees.meanings import features_of, signature_of
from timeproof.frameworks.trees.tables import (
    asked,
    categorical_columns,
    hyper_parameters,
    is_frame,
    is_pandas,
    read_table,
)
from timeproof.frameworks.xgboost import FRAMEWORK
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
# What decides on the answer of a wrapper, or of a Booster.
_METHODS = ("predict", "predict_proba", "get_booster", "inplace_predict", "_get_iteration_range")


class XGBoost(AdapterDefaults):
    name = FRAMEWORK.name

    def recognises(self, model: object) -> bool:
        return comes_from(model, "xgboost", frozenset({"Booster", "XGBModel"}))

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def inputs(self, model: Any, given: object) -> Inputs:
        """Read the one table, and ask the model with it as its user does: what it refuses, is refused here.

        Raises NotArchivable, in XGBoost's words where they are XGBoost's.
        """
        if comes_from(given, "xgboost", frozenset({"DMatrix"})):
            inputs = of_matrix(given)
        else:
            inputs = read_table(
                given,
                "an XGBoost",
                lambda frame: _trained(model, frame),
                column_name=column_name,
                only_trained=True,
            )
        if not isinstance(model, Path):
            self._ask(model, inputs)
        return inputs

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.json`, or `.ubj` on request. Raises NotArchivable and BadRequest."""
        chosen = _format(options_of(XGBoostOptions, options.framework).format)
        given, table = asked(inputs, "an XGBoost")
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
                "in_place": wrapper is not None and predicts_in_place(model, given),
                # In place, a wrapper holds the names of pandas' columns alone against its own.
                **_of_table(table, booster.feature_names if wrapper is None or is_pandas(given) else None),
            },
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
            scores=meaning.scores,
            signature=meaning.signature(features_of(table, booster.feature_names, booster.feature_types)),
        )

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the user's own object, with the user's own table: `predict_proba` or `predict`, then `margin`.

        A classifier whose `predict` is the user's own gives its labels, too, where they are others than
        XGBoost's: no container can give those. A file is asked where this process has the library in use.

        Raises NotArchivable.
        """
        if isinstance(model, Path):
            return model_files.answers(self.name, model, asked(inputs, "an XGBoost")[0], saved.options)
        return self._ask(model, inputs)

    def differences(self, model: object, saved: Saved) -> list[str]:  # noqa: ARG002 - every adapter is called alike
        """Say why the container may answer otherwise than the user's own object."""
        return overrides.differences(model, "xgboost", _METHODS)

    def _ask(self, model: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
        given, _ = asked(inputs, "an XGBoost")
        booster = _booster(model)
        with answering(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what XGBoost warns of, the user has seen in training
            if booster is model:
                return _ask_booster(booster, given)
            found: dict[str, Array] = {}
            classifies = hasattr(model, "predict_proba")
            method = "predict_proba" if classifies else "predict"
            found[method] = np.asarray(getattr(model, method)(given))
            library: Any = next(kind for kind in type(model).__mro__ if kind.__module__ == "xgboost.sklearn")
            if classifies and overrides.replaced(model, "xgboost", "predict"):
                labels = np.asarray(model.predict(given))
                if not np.array_equal(labels, np.asarray(library.predict(model, given))):
                    found["predict"] = labels
            found["margin"] = np.asarray(library.predict(model, given, output_margin=True))
            return found

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a model file, JSON or UBJSON by its bytes; it is replayed as a plain Booster."""
        _, table = asked(inputs, "an XGBoost")
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
        return Saved(
            framework=self.name,
            framework_version=None,
            files=(SavedFile(file, "model", f"xgboost-{chosen}"),),
            model=file,
            class_module=None,
            class_name=None,
            init_args={},
            options={
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
            },
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
            signature=signature_of(table),
        )


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
    found: dict[str, Json] = {}
    if table.columns and names is not None:
        found["columns"] = [*table.columns]
    if table.sparse:
        found["sparse"] = dict(table.sparse)
    return found


def _stopped(best: int) -> str:
    return (
        f"the training was stopped early: the scikit-learn wrapper answers with the first {best + 1} rounds"
        " of trees (best_iteration), the Booster, as it is archived here, with"
    )


def _format(asked: str | None) -> str:
    chosen = asked or "json"
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


def _ask_booster(booster: Any, given: Any) -> dict[str, Array]:
    """Ask a Booster as its user does, who makes a DMatrix of a table; an array gets the model's own names."""
    xgboost: Any = importlib.import_module("xgboost")
    if isinstance(given, xgboost.DMatrix):
        table = given
    elif is_frame(given):
        table = xgboost.DMatrix(given, enable_categorical=True)
    else:
        types = booster.feature_types
        table = xgboost.DMatrix(
            np.asarray(given) if isinstance(given, (list, tuple)) else given,
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
