"""Run a PMML model: an evaluator of its own, in NumPy, without Java."""

import importlib
import os
from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe import table_fields
from timeproof_probe.file_checks import Refused

from . import elements

MODULES = ("numpy",)


def warm() -> None:
    importlib.import_module("numpy")


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],  # noqa: ARG001 - every loader is called alike
    sizes: Dict[str, int],  # noqa: ARG001
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    from . import models, outputs, scope

    try:
        with open(os.path.join(directory, model), "rb") as stream:
            root = elements.parse(stream)
        names = scope.active_fields(models.model_of(root))
        arrays, rows = table_fields.columns_of(inputs, names, options)
        evaluation = models.Evaluation(root, arrays, rows)
    except elements.BadPmml as error:
        raise Refused(str(error))
    results: Dict[str, Any] = {}
    for name, column in evaluation.outputs:
        results[name] = outputs.array_of(column)
    return table_fields.arranged(results, options)
