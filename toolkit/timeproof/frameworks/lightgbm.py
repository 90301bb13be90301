"""Save LightGBM models: the text file, which is what every version reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import (
    Array,
    Saved,
    SavedFile,
    SaveOptions,
    answering,
    comes_from,
    copy_bytes,
)
from timeproof.frameworks.tables import hyper_parameters, one_table

_FORMATS = ("text", "txt", "json")


class LightGBM:
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
        best = booster.best_iteration
        return Saved(
            framework=self.name,
            framework_version=str(sys.modules["lightgbm"].__version__),
            files=tuple(files),
            model=file,
            class_module=type(model).__module__,
            class_name=type(model).__qualname__,
            init_args=hyper_parameters(_given(model, booster), notes),
            options={"num_iteration": int(best) if best is not None and best > 0 else None},
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
        )

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the user's Booster, with the trees that its own `predict` uses."""
        data = one_table(inputs, "a LightGBM")
        booster = _booster(model)
        trees = saved.options["num_iteration"]
        with answering():
            return {
                "predict": np.asarray(booster.predict(data, num_iteration=trees)),
                "raw_score": np.asarray(booster.predict(data, num_iteration=trees, raw_score=True)),
            }

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
        return Saved(
            framework=self.name,
            framework_version=None,
            files=(SavedFile(file, "model", "lightgbm-text"),),
            model=file,
            class_module=None,
            class_name=None,
            init_args={},
            options={"num_iteration": None},
            copies=(),
            source_files=(),
            notes=(),
            input_names=tuple(inputs),
        )


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
