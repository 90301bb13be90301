"""Run a CatBoost model from its .cbm file, or from its JSON."""

import importlib
import os
from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe import tables
from timeproof_probe.file_checks import Refused

MODULES = ("catboost", "numpy")

# Output → the prediction_type that gives it. What `predict` gives depends on the object that was archived.
_TYPES = {"predict_proba": "Probability", "raw_formula_val": "RawFormulaVal"}
_PREDICTIONS = ("Class", "RawFormulaVal", "Probability", "Exponent", "RMSEWithUncertainty")


def warm() -> None:
    importlib.import_module("catboost")


def _table(inputs: List[Tuple[str, Any]], options: Dict[str, Any]) -> Any:
    """Give the table as CatBoost takes it.

    The option `layout` says that its columns are of several kinds: `numbers`, the places of those that the
    first array holds, and `apart`, the places of those that have an array each: words, or vectors.
    """
    layout = options.get("layout")
    if layout is None:
        return tables.assembled(inputs, options, "a CatBoost")
    numpy: Any = importlib.import_module("numpy")
    arrays = [array for _, array in inputs]
    numbers, apart = layout["numbers"], layout["apart"]
    if len(arrays) != len(apart) + bool(numbers):
        raise Refused("the recorded arrays make up no table that is known")
    table = numpy.empty((len(arrays[0]), len(numbers) + len(apart)), dtype=object)
    if numbers:
        table[:, numbers] = arrays.pop(0)
    for k, place in enumerate(apart):
        array = arrays[k]
        column = numpy.empty(len(array), dtype=object)
        column[:] = list(array) if array.ndim > 1 else array.tolist()
        table[:, place] = column
    return table


def _pool(model: Any, table: Any, names: Optional[List[str]], threads: int) -> Any:
    catboost: Any = importlib.import_module("catboost")
    kinds = {}
    for kind in ("cat", "text", "embedding"):
        places: List[int] = getattr(model, "_get_{}_feature_indices".format(kind), list)()
        if places:  # old versions do not know all three
            kinds[kind + "_features"] = places
    return catboost.Pool(table, feature_names=names, thread_count=threads, **kinds)


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    catboost: Any = importlib.import_module("catboost")
    arrays: Any = importlib.import_module("timeproof_probe.arrays")

    count = -1 if threads is None else threads
    booster = catboost.CatBoost()
    form = "json" if model.endswith(".json") else "cbm"
    booster.load_model(os.path.join(directory, model), format=form)
    table = _table(inputs, options)
    pool = _pool(booster, table, options.get("columns"), count)
    outputs = []
    for name in options.get("outputs") or ["predict", "raw_formula_val"]:
        kind = options.get("predict", "RawFormulaVal") if name == "predict" else _TYPES.get(name)
        if kind not in _PREDICTIONS:
            raise Refused("the output {!r} is not known".format(name))
        values = booster.predict(
            pool, prediction_type=kind, ntree_end=options.get("ntree_end") or 0, thread_count=count
        )
        outputs.append((name,) + arrays.to_plain(values))
    return outputs
