"""ONNX copies of Keras and TensorFlow models. Needs TensorFlow and tf2onnx: see tests/README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tensorflow_models import ROWS, affine

from timeproof.frameworks.base import Array, Saved, SaveOptions
from timeproof.frameworks.inputs import read_inputs
from timeproof.frameworks.tensorflow import FRAMEWORK

keras: Any = pytest.importorskip("keras")
onnxruntime: Any = pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
layers = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def copied(model: Any, inputs: Any, folder: Path) -> tuple[Saved, dict[str, Array], list[Array]]:
    """Save a model with its copy: what was saved, the model's own answer, the copy's outputs by place."""
    adapter = FRAMEWORK.make_adapter()
    arrays, options = read_inputs(adapter, model, inputs), SaveOptions()
    saved = adapter.save(model, arrays, folder, "tf_v1", options)
    own = adapter.answers(model, arrays, saved)
    saved = adapter.interchange(model, arrays, folder, "tf_v1", options, saved)
    if not saved.copies:
        return saved, own, []
    session = onnxruntime.InferenceSession(str(folder / saved.copies[0].model))
    feeds = {taken.name: array for taken, array in zip(session.get_inputs(), arrays.values(), strict=True)}
    return saved, own, session.run(None, feeds)


def test_inputs_and_outputs_of_a_copy_stand_in_the_models_order(tmp_path: Path) -> None:
    left, right = layers.Input((4,), name="left"), layers.Input((4,), name="right")
    net = keras.Model([left, right], {"z": layers.Dense(2)(left), "a": layers.Dense(2)(right)})
    for name, (model, inputs) in {
        "module": affine(),
        "keras": (net, {"right": ROWS, "left": 2 * ROWS}),
    }.items():
        (tmp_path / name).mkdir()
        _, own, outputs = copied(model, inputs, tmp_path / name)
        for expected, array in zip(own.values(), outputs, strict=True):
            np.testing.assert_allclose(array, expected, atol=1e-5)


def test_an_exact_gelu_is_spelled_so_that_the_copy_opens(tmp_path: Path) -> None:
    net = keras.Sequential([layers.Input((4,)), layers.Dense(8, activation="gelu")])
    _, own, outputs = copied(net, ROWS, tmp_path)
    np.testing.assert_allclose(outputs[0], own["output"], atol=1e-6)


def test_a_table_of_words_has_no_copy_and_a_note_says_so(tmp_path: Path) -> None:
    words = layers.StringLookup(vocabulary=["tern", "gull"])
    taken = layers.Input((1,), dtype="string")
    saved, _, _ = copied(keras.Model(taken, words(taken)), np.array([["gull"]]), tmp_path)
    assert "can't convert its tables of words" in saved.notes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["model_tf_v1.keras"]


def named_stack() -> Any:
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(8, name="hidden"), layers.Dropout(0.5, name="drop"), layers.Dense(2, name="out")]
    return keras.Sequential([layers.Input((4,), name="rows"), *hidden], name="stack")


def test_equal_models_give_equal_files_byte_for_byte(tmp_path: Path) -> None:
    adapter = FRAMEWORK.make_adapter()
    files = []
    for name in ("first", "second"):
        net = named_stack()
        (tmp_path / name).mkdir()
        saved = adapter.save(net, read_inputs(adapter, net, ROWS), tmp_path / name, "tf_v1", SaveOptions())
        files.append((tmp_path / name / saved.model).read_bytes())
    assert files[0] == files[1]
