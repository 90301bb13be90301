"""What a user says of an exported program."""

from __future__ import annotations

from timeproof.frameworks.options import FrameworkOptions


class TorchExportOptions(FrameworkOptions):
    """Options of an exported program: those that every framework has."""
