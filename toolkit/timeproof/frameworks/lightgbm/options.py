"""What a user says of a LightGBM model."""

from __future__ import annotations

from timeproof.frameworks.trees.options import TreesOptions


class LightGBMOptions(TreesOptions):
    """Options of a LightGBM model. `format` is `text`, or `json` to have a dump beside it."""
