"""What CatBoost itself converts a model to: its JSON, to read; ONNX, as a copy whose distance is measured."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, Saved, SavedFile, SaveOptions
from timeproof.frameworks.onnx.adapter import Onnx

_SCRATCH = ".export.onnx"


def save_as(model: Any, path: Path, form: str) -> None:
    """Have CatBoost itself write the model, whatever a user's class does instead. Raises CatBoostError."""
    library: Any = importlib.import_module("catboost")
    library.CatBoost.save_model(model, str(path), format=form)


def add_json(model: Any, folder: Path, tag: str, notes: list[str], *, required: bool) -> list[SavedFile]:
    """Write `model_<tag>.json`, kept and not replayed. Raises NotArchivable where it is `required`."""
    file = f"model_{tag}.json"
    try:
        save_as(model, folder / file, "json")
    except Exception as error:  # CatBoostError, which is not imported here
        (folder / file).unlink(missing_ok=True)
        if required:
            raise NotArchivable(
                f"CatBoost can't write the model as JSON: {_reason(error)}",
                advice="leave the format out: the .cbm holds every model",
            ) from error
        notes.append(f"there is no JSON of the model: {_reason(error)}")
        return []
    notes.append(
        f"{file} is to be read, and is not replayed: CatBoost's JSON does not hold every bit of a model, and"
        " its raw values can differ in their last bits"
    )
    return [SavedFile(file, "optional", "catboost-json")]


def add_onnx(
    model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions, saved: Saved
) -> Saved:
    """Write `model_<tag>.onnx` by CatBoost's own exporter; a note says why there is none."""
    scratch = folder / _SCRATCH
    try:
        save_as(model, scratch, "onnx")
        copied = Onnx().add_copy(scratch, inputs, folder, tag, options, saved)
    except NotArchivable as error:
        return replace(saved, notes=(*saved.notes, f"there is no ONNX copy: {error.message}"))
    except Exception as error:  # CatBoostError, which is not imported here
        return replace(saved, notes=(*saved.notes, f"there is no ONNX copy: {_reason(error)}"))
    finally:
        scratch.unlink(missing_ok=True)
    # The graph gives no raw values beside a classifier's probabilities.
    marked = tuple(
        replace(copy, given=False, partial=True, facts={**copy.facts, "exporter": "catboost"})
        for copy in copied.copies
    )
    return replace(copied, copies=marked)


def _reason(error: Exception) -> str:
    """CatBoost's own words, without the place in its sources."""
    words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return words.partition(": ")[2] if words.startswith("catboost/") else words
