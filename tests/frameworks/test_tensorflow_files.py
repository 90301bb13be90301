"""Keras files and SavedModel folders are read strictly, within bounds, without TensorFlow."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.keras_files import (
    DOUBLE,
    FLOAT,
    STRING,
    graph,
    layer,
    sequential,
    tensor,
    write_keras,
    write_saved_model,
)
from support.laws import examples

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import NoRuntime, Saved, SaveOptions
from timeproof.frameworks.choose import adapter_for_file, spec_for_file
from timeproof.frameworks.inputs import read_inputs
from timeproof.frameworks.tensorflow import FRAMEWORK, TensorFlowOptions, keras_file, saved_model

ROWS = np.zeros((3, 4), np.float32)


def archived(path: Path, inputs: object, folder: Path, **options: Any) -> Saved:
    adapter = FRAMEWORK.make_adapter()
    folder.mkdir(exist_ok=True)
    chosen = SaveOptions(TensorFlowOptions(**options))
    return adapter.save_file(path, read_inputs(adapter, path, inputs), folder, "tf_v1", chosen)


def functional(inputs: object) -> dict[str, Any]:
    names = ("left", "right")
    layers = [layer(name, "InputLayer") for name in names]
    return {
        "class_name": "Functional",
        "module": "keras",
        "config": {"layers": layers, "input_layers": inputs},
    }


def refusal(path: Path, inputs: object = ROWS, **options: Any) -> NotArchivable:
    with pytest.raises(NotArchivable) as caught:
        archived(path, inputs, path.parent / "out", **options)
    assert caught.value.advice
    assert list((path.parent / "out").iterdir()) == []
    return caught.value


# --- .keras -------------------------------------------------------------------------------------


def test_a_keras_file_is_copied_as_it_is(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "a.keras")
    assert spec_for_file(path) is FRAMEWORK
    saved = archived(path, ROWS, tmp_path / "out")
    assert [(file.path, file.role, file.format) for file in saved.files] == [
        ("model_tf_v1.keras", "model", "keras")
    ]
    assert (tmp_path / "out/model_tf_v1.keras").read_bytes() == path.read_bytes()
    assert saved.options["kind"] == "keras"


def test_a_file_is_never_asked_in_this_process(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "a.keras")
    saved = archived(path, ROWS, tmp_path / "out")
    with pytest.raises(NoRuntime):
        FRAMEWORK.make_adapter().answers(path, {"input": ROWS}, saved)


@pytest.mark.parametrize(
    ("listed", "kind", "order"),
    [
        ([["left", 0, 0], ["right", 0, 0]], "list", ["left", "right"]),
        ({"right": ["right", 0, 0], "left": ["left", 0, 0]}, "mapping", ["right", "left"]),
    ],
)
def test_inputs_go_by_the_names_of_the_configuration(
    tmp_path: Path, listed: object, kind: str, order: list[str]
) -> None:
    path = write_keras(tmp_path / "a.keras", functional(listed))
    asked = archived(path, {"left": ROWS, "right": ROWS}, tmp_path / "out").options["asked"]
    assert asked == {"kind": kind, "inputs": [{"input": name, "as": name} for name in order]}


def test_inputs_without_names_go_by_their_place(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "a.keras", functional([["left", 0, 0], ["right", 0, 0]]))
    asked = archived(path, (ROWS, ROWS), tmp_path / "out").options["asked"]
    assert isinstance(asked, dict)
    assert asked["inputs"] == [{"input": "input_0", "as": "left"}, {"input": "input_1", "as": "right"}]


def test_one_input_may_have_any_name(tmp_path: Path) -> None:
    asked = archived(write_keras(tmp_path / "a.keras"), {"x": ROWS}, tmp_path / "out").options["asked"]
    assert asked == {"kind": "single", "inputs": [{"input": "x", "as": "rows"}]}


@pytest.mark.parametrize("inputs", [ROWS, {"left": ROWS, "middle": ROWS}, (ROWS, ROWS, ROWS)])
def test_other_inputs_than_the_models_are_named(tmp_path: Path, inputs: object) -> None:
    path = write_keras(tmp_path / "a.keras", functional([["left", 0, 0], ["right", 0, 0]]))
    assert "takes left, right" in refusal(path, inputs).message


CUSTOM = {"module": "shop.layers", "class_name": "Scale", "config": {}, "registered_name": "shop>Scale"}
REGISTERED: dict[str, Any] = {
    "module": None,
    "class_name": "Scale",
    "config": {},
    "registered_name": "shop>Scale",
}
FUNCTION = {"module": "builtins", "class_name": "function", "config": "bend", "registered_name": "function"}
CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
SYSTEM = {"module": "os", "class_name": "system", "config": {"command": "true"}, "registered_name": None}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (CUSTOM, "'shop>Scale' of shop.layers"),
        (REGISTERED, "'shop>Scale'"),
        (layer("dense", "Dense", activation=FUNCTION), "'bend'"),
        (layer("lambda", "Lambda", function=CODE), "Lambda layer"),
        (layer("dense", "Dense", activation=CODE), "Lambda layer"),
        (layer("dense", "Dense", activation=SYSTEM), "'system' of os"),
        (layer("outside", "TFSMLayer", filepath="/tmp/x"), "SavedModel folder elsewhere"),
        (layer("outside", "TorchModuleWrapper", module="x"), "PyTorch module"),
        ({**layer("dense", "Dense"), "module": "keras_evil"}, "'Dense' of keras_evil"),
    ],
    ids=["module", "registered", "function", "lambda", "code", "system", "tfsm", "torch", "alike"],
)
def test_code_that_the_file_does_not_hold_is_refused_with_a_way(
    tmp_path: Path, part: dict[str, Any], words: str
) -> None:
    error = refusal(write_keras(tmp_path / "a.keras", sequential(part)))
    assert words in error.message
    assert "saved_model" in error.advice


def test_a_loss_of_ones_own_is_no_part_of_the_answer(tmp_path: Path) -> None:
    config = {**sequential(), "compile_config": {"loss": FUNCTION, "optimizer": CUSTOM}}
    assert archived(write_keras(tmp_path / "a.keras", config), ROWS, tmp_path / "out").model


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"config.json": b"{"}, "config.json"),
        ({"config.json": b'{"a": 1, "a": 2}'}, "stands twice"),
        ({"config.json": b"[]"}, "describes no model"),
        ({"config.json": b"[" * 100 + b"]" * 100}, "levels"),
        ({"config.json": b'{"class_name": "Sequential", "config": NaN}'}, "NaN"),
        ({"metadata.json": b"\xff"}, "metadata.json"),
        ({"evil.py": b"import os"}, "evil.py"),
        ({"assets/../../x": b"x"}, "none of Keras's"),
    ],
)
def test_a_damaged_member_is_named(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    assert words in refusal(write_keras(tmp_path / "a.keras", **members)).message


def test_a_member_that_expands_beyond_reason_is_refused(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "a.keras")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("assets/words.txt", bytes(8 << 20))
    assert "expands" in refusal(path).message


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_file_is_refused(tmp_path: Path, share: float) -> None:
    path = write_keras(tmp_path / "a.keras")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(NotArchivable) as caught:
        adapter_for_file(path)
    assert "damaged" in caught.value.message


def test_a_file_called_keras_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.keras"
    path.write_bytes(b"no zip at all")
    assert spec_for_file(path) is FRAMEWORK
    assert "is no Keras model" in refusal(path).message


@pytest.mark.parametrize("options", [{"format": "h5"}, {"format": "saved_model"}, {"signature": "serve"}])
def test_options_that_a_keras_file_does_not_have_are_refused(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        archived(write_keras(tmp_path / "a.keras"), ROWS, tmp_path / "out", **options)


def test_what_differs_between_processes_is_taken_out_of_a_new_file(tmp_path: Path) -> None:
    shared = {"class_name": "DTypePolicy", "module": "keras", "config": {}}
    both = []
    for number, (first, second, date) in enumerate(
        [(71, 93, "2026-01-02@03:04:05"), (5, 4, "2031-06-07@08:09:10")]
    ):
        parts = [
            layer(str(k), "Dense", dtype={**shared, "shared_object_id": n})
            for k, n in enumerate((first, second, first))
        ]
        metadata = json.dumps({"keras_version": "3.15.1", "date_saved": date}).encode()
        path = write_keras(
            tmp_path / f"{number}.keras",
            {"class_name": "Sequential", "config": parts},
            **{"metadata.json": metadata},
        )
        both.append(keras_file.normalise(path.read_bytes()))
    assert both[0] == both[1]
    with zipfile.ZipFile(io.BytesIO(both[0])) as packed:
        numbers = [
            p["config"]["dtype"]["shared_object_id"] for p in json.loads(packed.read("config.json"))["config"]
        ]
    assert numbers == [1, 2, 1]


@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=6))
@examples(40)
def test_normalising_twice_changes_nothing_more(numbers: list[int]) -> None:
    packed = io.BytesIO()
    config = {"class_name": "Sequential", "config": [{"shared_object_id": n} for n in numbers]}
    with zipfile.ZipFile(packed, "w") as target:
        target.writestr("config.json", json.dumps(config))
        target.writestr("metadata.json", "{}")
        target.writestr("model.weights.h5", b"weights")
    once = keras_file.normalise(packed.getvalue())
    assert keras_file.normalise(once) == once


# --- SavedModel ---------------------------------------------------------------------------------


def test_a_saved_model_folder_is_copied_less_its_fingerprint(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "model")
    assert spec_for_file(folder) is FRAMEWORK
    saved = archived(folder, ROWS, tmp_path / "out")
    assert [(file.path, file.role) for file in saved.files] == [
        ("model_tf_v1/saved_model.pb", "model"),
        ("model_tf_v1/variables/variables.data-00000-of-00001", "external"),
        ("model_tf_v1/variables/variables.index", "external"),
    ]
    assert saved.options == {
        "kind": "saved_model",
        "signature": "serving_default",
        "asked": {"kind": "keywords", "inputs": [{"input": "input", "as": "rows"}]},
        "outputs": ["output"],
    }


SIDES = ({"rows": tensor(FLOAT, (-1, 4))}, {"output": tensor(FLOAT, None)})


def test_a_signature_is_chosen_by_its_name(tmp_path: Path) -> None:
    several = graph(signatures={"first": SIDES, "second": SIDES, "__saved_model_init_op": ({}, {})})
    folder = write_saved_model(tmp_path / "model", several)
    assert archived(folder, ROWS, tmp_path / "kept", signature="second").options["signature"] == "second"
    assert "has first, second" in refusal(folder, signature="third").message
    assert "no signature 'serving_default'" in refusal(write_saved_model(tmp_path / "b", several)).message


def test_the_only_signature_needs_no_name(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "model", graph(signatures={"predict": SIDES}))
    assert archived(folder, ROWS, tmp_path / "out").options["signature"] == "predict"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (graph()[:-7], "cut off"),
        (b"\xff" * 200, "cut off or none"),
        (graph(tags=["train"]), "tags train"),
        (graph(tags=["serve", "tpu"]), "tags serve, tpu"),
        (graph(signatures={}), "no signature"),
        (graph(["PyFunc"]), "calls a Python function"),
        (graph(inside=["EagerPyFunc"]), "calls a Python function"),
        (graph(inside=["WriteFile"]), "writes files"),
        (graph(["TPUPartitionedCall"]), "another device"),
        (b"\x08\x01", "no graph"),
        (b"\x10\x05", "cut off or none"),
    ],
)
def test_a_graph_that_can_not_come_back_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in refusal(write_saved_model(tmp_path / "model", data)).message


@given(st.data())
@examples(60)
def test_a_graph_with_altered_bytes_never_ends_in_another_error(data: st.DataObject) -> None:
    spoiled = bytearray(graph())
    for _ in range(data.draw(st.integers(1, 4))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(NotArchivable):
        description = saved_model.read(memoryview(bytes(spoiled)), "it")
        saved_model.check_operators(description, "it")
        assert saved_model.signature(description, None, "it") in description.signatures


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (ROWS.astype(np.float64), "as float32, and it is given as float64"),
        (ROWS[:, :3], "of the shape [None, 4], and it is given as [3, 3]"),
        (ROWS[0], "of the shape"),
        ((ROWS, ROWS), "takes rows"),
    ],
)
def test_inputs_that_a_signature_does_not_take_are_refused(
    tmp_path: Path, inputs: object, words: str
) -> None:
    assert words in refusal(write_saved_model(tmp_path / "model"), inputs).message


def test_a_signature_of_several_inputs_wants_names(tmp_path: Path) -> None:
    takes = {"left": tensor(DOUBLE, (-1,)), "right": tensor(STRING, None)}
    data = graph(signatures={"serving_default": (takes, SIDES[1])})
    folder = write_saved_model(tmp_path / "model", data)
    words, numbers = np.array(["tern"]), np.zeros(2)
    assert "by name" in refusal(folder, (numbers, words)).message
    asked = archived(folder, {"right": words, "left": numbers}, tmp_path / "kept").options["asked"]
    assert isinstance(asked, dict)
    assert asked["inputs"] == [{"input": "left", "as": "left"}, {"input": "right", "as": "right"}]


def test_a_strange_file_or_a_link_in_the_folder_is_named(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "model")
    (folder / "train.py").write_text("")
    assert "train.py is no file of a SavedModel" in refusal(folder).message
    (folder / "train.py").unlink()
    os.symlink("/etc", folder / "assets")
    assert "assets is a link" in refusal(folder).message


def test_a_folder_without_a_graph_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotArchivable, match="is a folder, and no model"):
        adapter_for_file(tmp_path)
    (tmp_path / "saved_model.pbtxt").write_text("")
    with pytest.raises(NotArchivable, match="is text or is cut into pieces"):
        adapter_for_file(tmp_path)
