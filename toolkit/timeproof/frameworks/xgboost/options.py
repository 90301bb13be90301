"""What a user says of an XGBoost model."""

from __future__ import annotations

from timeproof.frameworks.trees.options import TreesOptions


class XGBoostOptions(TreesOptions):
    """Options of an XGBoost model. `format` is `json` or `ubj`."""
