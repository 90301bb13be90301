"""What a user says of an XGBoost model."""

from __future__ import annotations

from timeproof.frameworks.options import FrameworkOptions


class XGBoostOptions(FrameworkOptions):
    """Options of an XGBoost model. `format` is `json` or `ubj`."""
