"""What a user says of an ONNX model."""

from __future__ import annotations

from timeproof.frameworks.options import FrameworkOptions


class OnnxOptions(FrameworkOptions):
    """Options of an ONNX model. It is kept as it is, so that `format` stays empty."""
