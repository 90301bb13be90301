"""Save LightGBM models: the text file, which is what every version reads."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
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

_FORMATS = ("text", "txt", "json")
_LINE = 1 << 16  # bytes
_LINEAR_NOTE = (
    "its trees are linear (linear_tree): converters to ONNX drop that without an error, and every row of such"
    " a copy is wrong; replay and share the text file"
)


class LightGBM(AdapterDefaults):
    name = "lightgbm"
    short = "lgb"

    def recognises(self, model: object) -> bool:
        return comes_from(model, "lightgbm", frozenset({"Booster", "LGBMModel"}))

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.txt`, and beside it `.json` on request. Raises NotArchivable and BadRequest."""
        _check_format(options.format)
        one_table(inputs, "a LightGBM")
        booster = _booster(model)
        notes: list[str] = []
        file = f"model_{tag}.txt"
        # All trees are kept; which of them answer is told to the probe.
        booster.save_model(str(folder / file), num_iteration=-1)
        files = [SavedFile(file, "model", "lightgbm-text")]
        if options.format == "json":
            dump = f"model_{tag}.json"
            text = json.dumps(booster.dump_model(num_iteration=-1), indent=1, allow_nan=True)
            (folder / dump).write_text(text + "\n", encoding="utf-8")
            files.append(SavedFile(dump, "optional", "lightgbm-json"))
            notes.append(f"{dump} can't be loaded back by LightGBM: {file} is the file that is replayed")
        if linear := any(_is_linear(line) for line in _lines(folder / file)):
            notes.append(_LINEAR_NOTE)
        return Saved(
            framework=self.name,
            framework_version=str(sys.modules["lightgbm"].__version__),
            files=tuple(files),
            model=file,
            class_module=type(model).__module__,
            class_name=type(model).__qualname__,
            init_args=hyper_parameters(_given(model, booster), notes),
            options=_settings(model, booster, notes, linear=linear),
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
        )

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the user's own object, with the trees that its own `predict` uses: then the raw scores."""
        data = one_table(inputs, "a LightGBM")
        booster = _booster(model)
        trees = saved.options["num_iteration"]
        with answering(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a wrapper that was fitted on a table with names
            found = {
                method: np.asarray(getattr(model, method)(data, num_iteration=trees))
                for method in cast("list[str]", saved.options["methods"])
            }
            found["raw_score"] = np.asarray(booster.predict(data, num_iteration=trees, raw_score=True))
            return found

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a text model file."""
        one_table(inputs, "a LightGBM")
        if options.format not in {None, "text", "txt"}:
            raise BadRequest(
                f"{path} is kept as it is, as text",
                advice="leave the format out, or archive the live model to have a JSON dump beside it",
            )
        file = f"model_{tag}.txt"
        copy_bytes(path, folder / file)
        linear = any(_is_linear(line) for line in _lines(folder / file))
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
            },
            copies=(),
            source_files=(),
            notes=(_LINEAR_NOTE,) if linear else (),
            input_names=tuple(inputs),
        )


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
    }


def _lines(path: Path) -> Iterator[bytes]:
    """Give the file's lines, each cut where it grows long."""
    with path.open("rb") as stream:
        while line := stream.readline(_LINE):
            yield line


def _is_linear(line: bytes) -> bool:
    return line.strip() == b"is_linear=1"


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
