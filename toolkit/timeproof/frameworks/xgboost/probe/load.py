"""Run an XGBoost model: always the Booster, answering as the object that was archived did."""

import functools
import importlib
import os
from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe import tables
from timeproof_probe.file_checks import Refused

MODULES = ("xgboost", "numpy", "scipy")


def warm() -> None:
    importlib.import_module("xgboost")


def resave(source: str, target: str) -> None:
    """Load one model file and save it as another."""
    xgboost: Any = importlib.import_module("xgboost")
    booster = xgboost.Booster()
    booster.load_model(source)
    booster.save_model(target)


def _probabilities(values: Any, margin: Any, how: Optional[str]) -> Any:
    """Do what XGBClassifier.predict_proba does with the Booster's values (xgboost/sklearn.py)."""
    import numpy

    if how == "softmax":
        return importlib.import_module("scipy.special").softmax(margin, axis=1)
    if values.ndim == 2:
        return values
    return numpy.vstack((1.0 - values, values)).transpose()


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    import numpy

    xgboost: Any = importlib.import_module("xgboost")

    table = tables.assembled(inputs, options, "an XGBoost")
    booster = xgboost.Booster()
    booster.load_model(os.path.join(directory, model))
    if threads is not None:
        booster.set_param({"nthread": threads})
    missing = numpy.nan if options.get("missing") is None else options["missing"]
    trees = tuple(options.get("iteration_range") or (0, 0))

    def matrix(rows: Any) -> Any:
        # The names of the user's own table, where it had some: XGBoost itself holds them against the model's.
        types = booster.feature_types or options.get("feature_types")
        return xgboost.DMatrix(
            rows,
            missing=missing,
            feature_names=options.get("columns") or booster.feature_names or options.get("feature_names"),
            feature_types=types,
            nthread=threads,
            enable_categorical=bool(types and "c" in types),
        )

    if options.get("in_place"):
        if options.get("columns"):
            booster.predict(matrix(table[:1]), iteration_range=trees)  # raises where the names differ
        ask = functools.partial(
            booster.inplace_predict,
            table,
            iteration_range=trees,
            missing=missing,
            validate_features=False,
        )
        margin = ask(predict_type="margin")
        values = ask(predict_type="value")
    else:
        data = matrix(table)
        margin = booster.predict(data, output_margin=True, iteration_range=trees)
        values = booster.predict(data, iteration_range=trees)
    outputs = []
    for method in options.get("methods", ["predict"]):
        if method == "predict_proba":
            outputs.append((method, _probabilities(values, margin, options.get("probability")), ""))
        elif method == "predict":
            outputs.append((method, values, ""))
        else:
            raise Refused("the method {!r} is not known".format(method))
    outputs.append(("margin", margin, ""))
    chosen = options.get("outputs")
    if chosen is not None and "leaf" in chosen:
        outputs.append(("leaf", booster.predict(matrix(table), pred_leaf=True, iteration_range=trees), ""))
    return [output for output in outputs if chosen is None or output[0] in chosen]
