"""What a user says of a Keras or TensorFlow model."""

from __future__ import annotations

from timeproof.frameworks.options import FrameworkOptions


class TensorFlowOptions(FrameworkOptions):
    """Options of a Keras or TensorFlow model.

    Args:
        format: `keras` or `saved_model`; a Keras model's is keras, any other's saved_model. A Keras model of
            classes of one's own, or with a Lambda layer, can only be saved as saved_model: its graph, without
            the code.
        signature: which of a SavedModel folder's signatures answers; `serving_default` where it is None.
        method: of a tf.Module, the method that answers.
        onnx: whether the model also gets an ONNX copy.
    """

    signature: str | None = None
    method: str = "__call__"
    onnx: bool = True
