"""What a user says of a PFA model."""

from __future__ import annotations

from timeproof.frameworks.options import FrameworkOptions


class PfaOptions(FrameworkOptions):
    """Options of a PFA model. It is kept as it is, so that `format` stays empty."""
