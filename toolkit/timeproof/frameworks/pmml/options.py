"""What a user says of a PMML model."""

from __future__ import annotations

from timeproof.frameworks.options import FrameworkOptions


class PmmlOptions(FrameworkOptions):
    """Options of a PMML model. It is kept as it is, so that `format` stays empty."""
