"""What a user says of a CatBoost model."""

from __future__ import annotations

from timeproof.frameworks.trees.options import TreesOptions


class CatBoostOptions(TreesOptions):
    """Options of a CatBoost model.

    Args:
        format: `cbm` for the file that is replayed alone; `json` to refuse a model that can't also be written
            as JSON. Without it, the JSON is there where CatBoost can write it.
        onnx: whether the model also gets an ONNX copy, where CatBoost can write one.
    """

    onnx: bool = True
