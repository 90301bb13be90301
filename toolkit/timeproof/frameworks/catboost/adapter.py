"""Save CatBoost models: the .cbm file, which is what is replayed, and what CatBoost itself converts it to."""

from __future__ import annotations

import importlib
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
from timeproof.frameworks.catboost import FRAMEWORK, CatBoostOptions
from timeproof.frameworks.catboost.conversions import add_json, add_onnx, save_as
from timeproof.frameworks.catboost.ensemble import ensemble_of
from timeproof.frameworks.catboost.meaning import meaning_of, outputs_of, predict_type
from timeproof.frameworks.catboost.model_file import format_of
from timeproof.frameworks.catboost.questions import names_of, read_question
from timeproof.frameworks.inputs import Inputs, Table
from timeproof.frameworks.options import options_of
from timeproof.frameworks.trees import overrides
from timeproof.frameworks.trees.adapter import saved_file
from timeproof.frameworks.trees.ensemble import Ensemble
from timeproof.frameworks.trees.meanings import features_of
from timeproof.frameworks.trees.tables import hyper_parameters, one_table
from timeproof_probe.arrays import to_plain

_FORMATS = ("cbm", "json")
_METHODS = ("predict", "predict_proba", "_predict", "_base_predict", "_process_predict_input_data")
_JSON_FILE = (
    "the file is CatBoost's own JSON, which does not hold every bit of a model: it is replayed as it is, and"
    " its raw values can differ in their last bits from those of the same model's .cbm"
)


class CatBoost(AdapterDefaults):
    name = FRAMEWORK.name
    exports = "onnx"

    def recognises(self, model: object) -> bool:
        return comes_from(model, "catboost", frozenset({"CatBoost"}))

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def load_file(self, path: Path) -> Any:
        catboost: Any = importlib.import_module("catboost")
        return catboost.CatBoost().load_model(str(path), format=format_of(path))

    def inputs(self, model: Any, original: object) -> Inputs:
        """Read the one table, and ask the model with it as its user does: what it refuses, is refused here.

        Raises NotArchivable, in CatBoost's words where they are CatBoost's.
        """
        if not isinstance(model, Path):
            _require_fitted(model)
        inputs = read_question(model, original)
        if not isinstance(model, Path):
            _ask(model, inputs)
        return inputs

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the user's own object, with the user's own table. Raises NoRuntime and NotArchivable."""
        if isinstance(model, Path):
            return model_files.answers(self.name, model, _table_of(inputs)[0], saved.options)
        return _ask(model, inputs)

    def differences(self, model: object, saved: Saved) -> list[str]:  # noqa: ARG002 - every adapter is called alike
        """Say why the container may answer otherwise than the user's own object."""
        return overrides.differences(model, "catboost", _METHODS)

    def wants_export(self, options: SaveOptions) -> bool:
        return options_of(CatBoostOptions, options.framework).onnx

    def interchange(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        folder: Path,
        tag: str,
        options: SaveOptions,
        saved: Saved,
    ) -> Saved:
        """Write `model_<tag>.onnx` beside the model, where CatBoost can; a note says why not."""
        return add_onnx(model, inputs, folder, tag, options, saved)

    def ensemble(self, model: Any, folder: Path, saved: Saved) -> Ensemble:  # noqa: ARG002
        """Give the model as an ensemble of trees. Raises NoEnsemble."""
        return ensemble_of(model, saved.options, saved.signature)

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.cbm`, and beside it `.json`. Raises NotArchivable and BadRequest."""
        form = options_of(CatBoostOptions, options.framework).format
        _check_format(form)
        _require_fitted(model)
        _, table = _table_of(inputs)
        file = f"model_{tag}.cbm"
        save_as(model, folder / file, "cbm")
        files = [SavedFile(file, "model", "catboost-cbm")]
        notes: list[str] = []
        if form != "cbm":
            files += add_json(model, folder, tag, notes, required=form == "json")
        meaning = meaning_of(model)
        return Saved(
            framework=self.name,
            framework_version=str(sys.modules["catboost"].__version__),
            files=tuple(files),
            model=file,
            class_module=type(model).__module__,
            class_name=type(model).__qualname__,
            init_args=hyper_parameters(model.get_params(), notes),
            options={
                "outputs": [*outputs_of(model)],
                "predict": predict_type(model),
                **_of_table(inputs, table),
            },
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
            scores=meaning.scores,
            signature=meaning.signature(features_of(table, names_of(model))),
        )

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a model file, .cbm or JSON by its bytes; its `predict` gives raw values, as CatBoost's."""
        chosen = format_of(path)
        if options_of(CatBoostOptions, options.framework).format not in {None, chosen}:
            raise BadRequest(
                f"{path} is kept as it is, in its own format",
                advice="leave the format out, or archive the live model to have another one",
            )
        _, table = _table_of(inputs)
        file = f"model_{tag}.{chosen}"
        copy_bytes(path, folder / file)
        settings: dict[str, Json] = {
            "outputs": ["predict", "raw_formula_val"],
            "predict": "RawFormulaVal",
            **_of_table(inputs, table),
        }
        notes = ["answers are those of catboost.CatBoost, which loads the file: raw values"]
        if chosen == "json":
            notes.append(_JSON_FILE)
        form = SavedFile(file, "model", f"catboost-{chosen}")
        return saved_file(self.name, form, inputs, table, settings, tuple(notes))


def _require_fitted(model: Any) -> None:
    if not model.is_fitted():
        raise NotArchivable(f"the {type(model).__name__} has not been fitted", advice="call fit first")


def _ask(model: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Ask the live model, as its user does; the raw values by CatBoost's own method."""
    table, _ = _table_of(inputs)
    library: Any = importlib.import_module("catboost").CatBoost
    answers: dict[str, Array] = {}
    with answering(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the library warns of, the user has seen in training
        for name in outputs_of(model):
            if name == "raw_formula_val":
                values = library.predict(model, table, prediction_type="RawFormulaVal")
            else:
                values = getattr(model, name)(table)
            answers[name] = np.asarray(to_plain(values)[0])
    return answers


def _table_of(inputs: Mapping[str, Array]) -> tuple[Any, Table]:
    """What the model itself is asked with, and what is known of it. Raises NotArchivable for no table."""
    if isinstance(inputs, Inputs) and inputs.table is not None:
        return inputs.original, inputs.table
    return one_table(inputs, "a CatBoost"), Table()


def _of_table(inputs: Mapping[str, Array], table: Table) -> dict[str, Json]:
    """What the probe must know of the table: CatBoost itself holds its columns' names against the model's."""
    facts: dict[str, Json] = {}
    if table.columns:
        facts["columns"] = [*table.columns]
    if table.sparse:
        facts["sparse"] = dict(table.sparse)
    if layout := getattr(inputs, "layout", None):
        facts["layout"] = dict(layout)
    return facts


def _check_format(form: str | None) -> None:
    if form is not None and form not in _FORMATS:
        raise BadRequest(
            f"CatBoost models are not saved as {form!r}",
            advice="the format is cbm, or json to have CatBoost's JSON beside it",
        )
