"""Convert a scikit-learn model to ONNX beside its own file: a copy, missing where it can't be had."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.frameworks.base import Array, Copy, SavedFile, SaveOptions
from timeproof.frameworks.onnx.adapter import Onnx, facts, inspect_file
from timeproof.frameworks.onnx.copies import as_interchange
from timeproof.frameworks.sklearn.question import Question

_TYPES = {"f": "FloatTensorType", "i": "Int64TensorType", "u": "Int64TensorType", "b": "BooleanTensorType"}
# What onnxruntime lowers letters by: the locale that every system has.
_LOCALE = "C.UTF-8"


class NoCopy(Exception):
    """There is no copy, and why."""


def export(
    model: Any,
    inputs: Mapping[str, Array],
    question: Question,
    methods: Sequence[str],
    folder: Path,
    tag: str,
    options: SaveOptions,
) -> tuple[Copy, list[SavedFile]]:
    """Write `model_<tag>.onnx`, whose batch is free. Raises NoCopy."""
    skl2onnx = _import("skl2onnx")
    types = _input_types(inputs, question)
    scratch = folder / ".conversion.onnx"
    try:
        with _quiet():
            _register_trees()
            converted = _convert(skl2onnx, model, types, methods)
        scratch.write_bytes(converted.SerializeToString())
        saved = Onnx().save_file(scratch, dict(_named(scratch, inputs)), folder, tag, SaveOptions())
        graph = inspect_file(folder / saved.model)
    except Exception as error:  # whatever a converter raises: the copy is missing, that is all
        for partial in folder.glob(f"model_{tag}*.onnx"):
            partial.unlink()
        raise NoCopy(f"skl2onnx: {_first_line(error)}") from error
    finally:
        scratch.unlink(missing_ok=True)
    settings: dict[str, Json] = {
        "graph_optimization": options.framework.graph_optimization,
        "by_position": True,
        "cast": True,
    }
    statements = {**facts(graph), "exporter": f"skl2onnx {skl2onnx.__version__}"}
    copy = Copy("onnx", "onnx", saved.model, settings, statements, partial=True)
    return copy, as_interchange(saved.files)


def _named(path: Path, inputs: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    names = [value.name for value in inspect_file(path).inputs]
    if len(names) != len(inputs):
        raise ValueError(f"the graph takes {len(names)} of the {len(inputs)} inputs")
    return zip(names, inputs.values(), strict=True)


def _import(name: str) -> Any:
    try:
        with _quiet():
            return importlib.import_module(name)
    except ImportError:
        raise NoCopy(f"{name} is not installed here (pip install {name})") from None


def _input_types(inputs: Mapping[str, Array], question: Question) -> list[tuple[str, Any]]:
    """skl2onnx's types of the inputs: a column of a DataFrame each, or the one array. Raises NoCopy."""
    kinds = _import("skl2onnx.common.data_types")
    if question.sparse:
        raise NoCopy("the model is asked with a sparse matrix, which ONNX has no type for")
    if question.form is None or question.form["kind"] == "objects":
        if len(inputs) > 1:
            raise NoCopy("some of the text is missing, which ONNX has no value for")
        ((name, array),) = inputs.items()
        if array.ndim > 2:
            raise NoCopy(f"the input has {array.ndim} dimensions")
        shape = [None, array.shape[1] if array.ndim == 2 else 1]
        return [(name, _type(kinds, array)(shape))]
    labels, parts = question.form["columns"], question.form["parts"]
    assert isinstance(labels, list)
    assert isinstance(parts, list)
    types = []
    for part, array in zip(parts, inputs.values(), strict=False):
        assert isinstance(part, dict)
        if part["kind"] not in {"numbers", "text"} or part.get("missing"):
            raise NoCopy(
                f"the column {labels[_first(part)]!r} is {part['dtype']} with a value that ONNX lacks"
            )
        if len(labels) == array.shape[1]:
            return [("input", _type(kinds, array)([None, array.shape[1]]))]
        if array.shape[1] != 1:
            raise NoCopy(f"its table has {len(labels)} columns of several types")
        types.append((str(labels[_first(part)]), _type(kinds, array)([None, 1])))
    return types


def _first(part: Mapping[str, Json]) -> int:
    columns = part["columns"]
    assert isinstance(columns, list)
    return int(str(columns[0]))


def _type(kinds: Any, array: Array) -> Any:
    if array.dtype.kind == "U":
        return kinds.StringTensorType
    if array.dtype.kind not in _TYPES:
        raise NoCopy(f"ONNX has no type for {array.dtype}")
    return getattr(kinds, _TYPES[array.dtype.kind])


def _convert(skl2onnx: Any, model: Any, types: Any, methods: Sequence[str]) -> Any:
    """Convert, with a table of probabilities, not a list of mappings; or raw scores, if only they count.

    A converter refuses an option that it does not know by a NameError: then it is asked with fewer.
    """
    text = {kind: {"locale": _LOCALE} for kind in _vectorizers()}
    table: dict[str, Any] = {"zipmap": False}
    attempts: list[dict[str, Any]] = [{}]
    if "predict_proba" in methods:
        attempts = [table, {}]
    elif "decision_function" in methods:
        attempts = [{**table, "raw_scores": True}, {"raw_scores": True}, table, {}]
    for attempt in attempts[:-1]:
        try:
            return skl2onnx.convert_sklearn(model, initial_types=types, options={**text, id(model): attempt})
        except NameError:
            continue
    return skl2onnx.convert_sklearn(model, initial_types=types, options=text)


def _vectorizers() -> list[Any]:
    text = importlib.import_module("sklearn.feature_extraction.text")
    return [text.CountVectorizer, text.TfidfVectorizer]


def _register_trees() -> None:
    """Tell skl2onnx of the wrappers of XGBoost and LightGBM, where onnxmltools is there to convert them."""
    skl2onnx = importlib.import_module("skl2onnx")
    shapes = importlib.import_module("skl2onnx.common.shape_calculator")
    wanted = (
        ("xgboost", "XGBClassifier", "XGBoostXGBClassifier", "XGBoost"),
        ("xgboost", "XGBRegressor", "XGBoostXGBRegressor", "XGBoost"),
        ("lightgbm", "LGBMClassifier", "LightGbmLGBMClassifier", "LightGbm"),
        ("lightgbm", "LGBMRegressor", "LightGbmLGBMRegressor", "LightGbm"),
    )
    for library, kind, alias, converter in wanted:
        with contextlib.suppress(ImportError, AttributeError):
            wrapper = getattr(importlib.import_module(library), kind)
            module = importlib.import_module(f"onnxmltools.convert.{library}.operator_converters.{converter}")
            classifies = kind.endswith("Classifier")
            skl2onnx.update_registered_converter(
                wrapper,
                alias,
                shapes.calculate_linear_classifier_output_shapes
                if classifies
                else shapes.calculate_linear_regressor_output_shapes,
                getattr(module, f"convert_{library}"),
                options={"nocl": [True, False], "zipmap": [True, False, "columns"]} if classifies else None,
            )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what converters print, warn and log away from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
