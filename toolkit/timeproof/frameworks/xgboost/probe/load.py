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


class _Asker:
    """One Booster and one table, asked as the artifact's options say."""

    def __init__(self, booster: Any, table: Any, options: Dict[str, Any], threads: Optional[int]) -> None:
        import numpy

        self._booster = booster
        self._table = table
        self._options = options
        self._threads = threads
        self._missing = numpy.nan if options.get("missing") is None else options["missing"]
        self._trees = tuple(options.get("iteration_range") or (0, 0))

    def _matrix(self, rows: Any) -> Any:
        # The names of the user's own table, where it had some: XGBoost itself holds them against the model's.
        xgboost: Any = importlib.import_module("xgboost")
        options, booster = self._options, self._booster
        types = booster.feature_types or options.get("feature_types")
        return xgboost.DMatrix(
            rows,
            missing=self._missing,
            feature_names=options.get("columns") or booster.feature_names or options.get("feature_names"),
            feature_types=types,
            nthread=self._threads,
            enable_categorical=bool(types and "c" in types),
        )

    def margin_and_values(self) -> Tuple[Any, Any]:
        """Give the raw margins, and what `predict` gives."""
        if not self._options.get("in_place"):
            data = self._matrix(self._table)
            margin = self._booster.predict(data, output_margin=True, iteration_range=self._trees)
            return margin, self._booster.predict(data, iteration_range=self._trees)
        if self._options.get("columns"):  # raises where the names differ
            self._booster.predict(self._matrix(self._table[:1]), iteration_range=self._trees)
        predict = functools.partial(
            self._booster.inplace_predict,
            self._table,
            iteration_range=self._trees,
            missing=self._missing,
            validate_features=False,
        )
        return predict(predict_type="margin"), predict(predict_type="value")

    def leaves(self) -> Any:
        """Give the leaf of each tree that each row ends in."""
        data = self._matrix(self._table)
        return self._booster.predict(data, pred_leaf=True, iteration_range=self._trees)


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    xgboost: Any = importlib.import_module("xgboost")

    table = tables.assembled(inputs, options, "an XGBoost")
    booster = xgboost.Booster()
    booster.load_model(os.path.join(directory, model))
    if threads is not None:
        booster.set_param({"nthread": threads})
    asker = _Asker(booster, table, options, threads)
    margin, values = asker.margin_and_values()
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
        outputs.append(("leaf", asker.leaves(), ""))
    return [output for output in outputs if chosen is None or output[0] in chosen]
