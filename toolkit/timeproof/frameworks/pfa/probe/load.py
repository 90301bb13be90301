"""Run a PFA model: an evaluator of its own, in NumPy, for documents that hold trees."""

import importlib
import os
from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe import table_fields

from . import documents

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
    from . import engine, rows

    with open(os.path.join(directory, model), "rb") as stream:
        document = documents.parse(stream)
    fields = documents.input_fields(document)
    arrays, count = table_fields.columns_of(inputs, list(fields), options)
    answer = engine.Engine(document, count).run(rows.record_of(arrays, fields, document["input"], count))
    return table_fields.arranged(rows.arrays_of(answer, count), options)
