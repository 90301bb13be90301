"""What every framework must do, for TensorFlow and Keras. Needs TensorFlow: see tests/README.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from timeproof.frameworks.tensorflow import FRAMEWORK, TensorFlowOptions
from timeproof.testing.conformance import FrameworkTests, Sample

tf: Any = pytest.importorskip("tensorflow")
keras: Any = pytest.importorskip("keras")
layers = keras.layers
# TensorFlow's own, about NumPy 2 and about Python 3.13.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(9, 4)).astype(np.float32)
OTHERS = RNG.normal(size=(9, 3)).astype(np.float32)


class Affine(tf.Module):  # type: ignore[misc]  # TensorFlow is not installed where types are checked
    """Two inputs, a mapping of two outputs; not traced yet."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(RNG.normal(size=(4, 2)).astype(np.float32))

    def __call__(self, rows: Any, shift: Any) -> dict[str, Any]:
        product = tf.linalg.matmul(rows, self.weights)
        return {"sum": product + shift[:, :2], "product": product}


@keras.saving.register_keras_serializable(package="tests")
class Doubling(keras.layers.Layer):  # type: ignore[misc]  # likewise
    def call(self, values: Any) -> Any:
        return values * 2.0


def dense() -> Any:
    keras.utils.set_random_seed(0)
    stack = [layers.Input((4,)), layers.Dense(8, activation="relu"), layers.Dropout(0.5)]
    return keras.Sequential([*stack, layers.BatchNormalization(), layers.Dense(3, activation="softmax")])


def two_inputs(*, mapping: bool) -> Any:
    left, right = layers.Input((4,), name="left"), layers.Input((3,), name="right")
    joined = layers.Concatenate()([left, right])
    outputs = {"sum": layers.Dense(2)(joined), "gate": layers.Dense(1, activation="sigmoid")(joined)}
    return keras.Model({"left": left, "right": right} if mapping else [left, right], outputs)


def words() -> Any:
    vectors = layers.TextVectorization(output_sequence_length=4, vocabulary=["tern", "gull", "auk"])
    text = layers.Input((), dtype="string", name="text")
    return keras.Model(text, layers.GlobalAveragePooling1D()(layers.Embedding(6, 3)(vectors(text))))


def own_layer() -> Any:
    return keras.Sequential([layers.Input((4,)), Doubling(), layers.Dense(2)])


def lambda_layer() -> Any:
    return keras.Sequential([layers.Input((4,)), layers.Lambda(lambda values: values + 1.0)])


def saved(folder: Path, model: Any) -> Path:
    model.export(str(folder), verbose=False)
    return folder


class TestTensorFlow(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        folder.mkdir(exist_ok=True)
        both = {"right": OTHERS, "left": ROWS}
        dense().save(folder / "dense.keras")
        graph = TensorFlowOptions(format="saved_model")
        return {
            "dense": Sample(dense(), ROWS),
            "list": Sample(two_inputs(mapping=False), (ROWS, OTHERS)),
            "mapping": Sample(two_inputs(mapping=True), both),
            "words": Sample(words(), np.array(["a tern", "the gull", "auk auk"])),
            "module by name": Sample(Affine(), {"shift": OTHERS, "rows": ROWS}),
            "own layer": Sample(own_layer(), ROWS, graph),
            "file": Sample(folder / "dense.keras", ROWS),
            "folder": Sample(saved(folder / "graph", dense()), ROWS),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        return {
            "own layer": Sample(own_layer(), ROWS),
            "lambda": Sample(lambda_layer(), ROWS),
            "format": Sample(dense(), ROWS, TensorFlowOptions(format="h5")),
            "keras format": Sample(Affine(), (ROWS, OTHERS), TensorFlowOptions(format="keras")),
            "method": Sample(Affine(), (ROWS, OTHERS), TensorFlowOptions(method="absent")),
            "other inputs": Sample(two_inputs(mapping=True), {"left": ROWS, "middle": OTHERS}),
            "too few": Sample(two_inputs(mapping=True), ROWS),
            "wrong width": Sample(dense(), OTHERS),
        }
