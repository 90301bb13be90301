"""What a user says of a TorchScript module."""

from __future__ import annotations

from timeproof.frameworks.options import FrameworkOptions


class TorchScriptOptions(FrameworkOptions):
    """Options of a TorchScript module: those that every framework has."""
