"""What a user says of a LightGBM model."""

from __future__ import annotations

from timeproof.frameworks.options import FrameworkOptions


class LightGBMOptions(FrameworkOptions):
    """Options of a LightGBM model. `format` is `text`, or `json` to have a dump beside it."""
