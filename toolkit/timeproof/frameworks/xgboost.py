"""Save XGBoost models: the Booster's own JSON (or UBJSON), and what the JSON drops."""

from __future__ import annotations

import importlib
import math
import mmap
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from timeproof.errors import BadRequest, NotArchivable
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
from timeproof.frameworks.tables import hyper_parameters, one_table
from timeproof.strictjson import Json

_FORMATS = ("json", "ubj")


class XGBoost(AdapterDefaults):
    name = "xgboost"
    short = "xgb"

    def recognises(self, model: object) -> bool:
        return comes_from(model, "xgboost", frozenset({"Booster", "XGBModel"}))

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.json`, or `.ubj` on request. Raises NotArchivable and BadRequest."""
        chosen = _format(options.format)
        one_table(inputs, "an XGBoost")
        notes: list[str] = []
        booster = _booster(model)
        wrapper = None if booster is model else type(model).__name__
        file = f"model_{tag}.{chosen}"
        booster.save_model(str(folder / file))
        settings = _settings(model, booster, wrapper, notes)
        return Saved(
            framework=self.name,
            framework_version=str(sys.modules["xgboost"].__version__),
            files=(SavedFile(file, "model", f"xgboost-{chosen}"),),
            model=file,
            class_module=type(model).__module__,
            class_name=type(model).__qualname__,
            init_args={} if wrapper is None else hyper_parameters(model.get_params(), notes),
            options=settings,
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
        )

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the user's own object: `predict_proba` or `predict`, then `margin`."""
        data = one_table(inputs, "an XGBoost")
        booster = _booster(model)
        with answering():
            if booster is model:
                return _ask_booster(booster, data)
            found: dict[str, Array] = {}
            for method in cast("list[str]", saved.options["methods"]):
                found[method] = np.asarray(getattr(model, method)(data, validate_features=False))
            found["margin"] = np.asarray(model.predict(data, output_margin=True, validate_features=False))
            return found

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a `.json` or `.ubj` model file; it is replayed as a plain Booster."""
        one_table(inputs, "an XGBoost")
        chosen = path.suffix.lower().lstrip(".")
        if chosen not in _FORMATS or options.format not in {None, chosen}:
            raise BadRequest(
                f"{path} is kept as it is, in its own format",
                advice="leave the format out, or archive the live model to have another one",
            )
        file = f"model_{tag}.{chosen}"
        copy_bytes(path, folder / file)
        notes = ["answers are the plain Booster's, with all its trees"]
        if (best := _best_iteration(path)) is not None:
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
            },
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
        )


def _stopped(best: int) -> str:
    return (
        f"the training was stopped early: the scikit-learn wrapper answers with the first {best + 1} rounds"
        " of trees (best_iteration), the Booster, as it is archived here, with"
    )


# The attribute as JSON and as UBJSON spell it; the latter with the length of the string in between.
_BEST = re.compile(rb'"?best_iteration"?(?:\s*:\s*"|S[iUIlL][\x00-\xff]{1,8}?)(\d{1,9})')


def _best_iteration(path: Path) -> int | None:
    """Read where the training stopped from the file's bytes; it is not loaded."""
    with path.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return None
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _BEST.search(data)
            return None if found is None else int(found[1])


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


def _ask_booster(booster: Any, data: Array) -> dict[str, Array]:
    xgboost: Any = importlib.import_module("xgboost")
    types = booster.feature_types
    table = xgboost.DMatrix(
        data,
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
        # The wrappers predict in place; on dart that differs in the last bit from a DMatrix's answer.
        "in_place": wrapper is not None and not linear,
        "probability": "softmax" if classifies and model.objective == "multi:softmax" else None,
    }
