"""Run a LightGBM model from its text file."""

import importlib
import os
from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe import tables
from timeproof_probe.file_checks import Refused

MODULES = ("lightgbm", "numpy", "scipy")


def warm() -> None:
    importlib.import_module("lightgbm")


def resave(source: str, target: str) -> None:
    """Load one model file and save it, all of its trees, as another."""
    lightgbm: Any = importlib.import_module("lightgbm")
    lightgbm.Booster(model_file=source).save_model(target, num_iteration=-1)


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    lightgbm: Any = importlib.import_module("lightgbm")

    data = tables.assembled(inputs, options, "a LightGBM")
    booster = lightgbm.Booster(model_file=os.path.join(directory, model))
    parameters = dict(options.get("predict_parameters") or {})
    if threads is not None:
        parameters["num_threads"] = threads
    trees = options.get("num_iteration")
    values = booster.predict(data, num_iteration=trees, **parameters)
    outputs: List[Tuple[str, Any, str]] = []
    for method in options.get("methods", ["predict"]):
        if method not in ("predict", "predict_proba"):
            raise Refused("the method {!r} is not known".format(method))
        if method == "predict_proba" and options.get("two_columns"):
            # What LGBMClassifier.predict_proba does with the Booster's values (lightgbm/sklearn.py).
            numpy: Any = importlib.import_module("numpy")
            outputs.append((method, numpy.vstack((1.0 - values, values)).transpose(), ""))
        else:
            outputs.append((method, values, ""))
    outputs.append(
        ("raw_score", booster.predict(data, num_iteration=trees, raw_score=True, **parameters), "")
    )
    chosen = options.get("outputs")
    if chosen is not None and "leaf" in chosen:
        outputs.append(("leaf", booster.predict(data, num_iteration=trees, pred_leaf=True, **parameters), ""))
    return [output for output in outputs if chosen is None or output[0] in chosen]
