"""Small models of Keras and TensorFlow, which is imported only where one is made: (model, inputs)."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

RNG = np.random.default_rng(20260102)
PICTURES = RNG.normal(size=(7, 6, 6, 2)).astype(np.float32)
ROWS = RNG.normal(size=(9, 4)).astype(np.float32)
SHIFTS = RNG.normal(size=(9, 2)).astype(np.float32)
WEIGHTS = RNG.normal(size=(4, 2)).astype(np.float32)


def pictures() -> tuple[Any, Any]:
    """A network of convolutions, dropout and two outputs: nothing in it goes through an approximation."""
    keras: Any = importlib.import_module("keras")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    taken = layers.Input((6, 6, 2), name="pictures")
    bent = layers.Conv2D(3, 3, activation="tanh")(taken)
    bent = layers.Dropout(0.5)(layers.MaxPooling2D()(bent))
    flat = layers.Flatten()(bent)
    outputs = {"scores": layers.Dense(3)(flat), "gate": layers.Dense(1, activation="sigmoid")(flat)}
    return keras.Model(taken, outputs), PICTURES


def affine() -> tuple[Any, Any]:
    """A tf.Module of two inputs by name, and a mapping of two outputs."""
    tf: Any = importlib.import_module("tensorflow")

    class Affine(tf.Module):  # type: ignore[misc]  # TensorFlow is not installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(WEIGHTS)

        def __call__(self, rows: Any, shift: Any) -> dict[str, Any]:
            product = tf.linalg.matmul(rows, self.weights)
            return {"sum": product + shift, "product": product}

    return Affine(), {"shift": SHIFTS, "rows": ROWS}
