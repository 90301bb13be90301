"""Reading ONNX without onnx: everything is found, and hostile bytes are refused, not followed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import onnx_bytes as ob

from timeproof.frameworks.onnx.probe import onnxfile, wire_format
from timeproof.testing.probing import artifact, run, write_inputs

EXTERNAL = {"location": "w.data", "offset": "0", "length": "8"}


def test_a_plain_model_is_described() -> None:
    found = onnxfile.inspect(ob.adding(ob.tensor("w")))
    assert found.ir_version == 8
    assert found.opsets == {"": 13}
    assert found.inputs == (onnxfile.Value("x", 1, ("n", 2)),)
    assert found.outputs == (onnxfile.Value("y", 1, ("n", 2)),)
    assert found.external == ()


def test_inputs_that_are_initializers_are_not_asked_for() -> None:
    data = ob.model(
        ob.message(11, ob.value_info("w", 2)),
        ob.message(11, ob.value_info("x", 2)),
        ob.message(5, ob.tensor("w")),
    )
    assert [value.name for value in onnxfile.inspect(data).inputs] == ["x"]


def sparse(inner: bytes) -> bytes:
    return ob.message(1, inner)


def nested(inner: bytes) -> bytes:
    return ob.message(1, ob.node("If", [], ["y"], ob.attribute(ob.message(6, ob.message(5, inner)))))


PLACES = {
    "initializer": lambda t: ob.model(ob.message(5, t)),
    "sparse initializer values": lambda t: ob.model(ob.message(15, ob.message(1, t))),
    "sparse initializer indices": lambda t: ob.model(ob.message(15, ob.message(2, t))),
    "constant": lambda t: ob.model(
        ob.message(1, ob.node("Constant", [], ["y"], ob.attribute(ob.message(5, t))))
    ),
    "tensors": lambda t: ob.model(ob.message(1, ob.node("Op", [], ["y"], ob.attribute(ob.message(10, t))))),
    "sparse attribute": lambda t: ob.model(
        ob.message(1, ob.node("Constant", [], ["y"], ob.attribute(ob.message(22, ob.message(1, t)))))
    ),
    "sparse attributes": lambda t: ob.model(
        ob.message(1, ob.node("Op", [], ["y"], ob.attribute(ob.message(23, ob.message(2, t)))))
    ),
    "subgraph": lambda t: ob.model(nested(t)),
    "subgraphs": lambda t: ob.model(
        ob.message(1, ob.node("Op", [], ["y"], ob.attribute(ob.message(11, ob.message(5, t)))))
    ),
    "subgraph of a subgraph": lambda t: ob.model(
        ob.message(1, ob.node("If", [], ["y"], ob.attribute(ob.message(6, nested(t)))))
    ),
    "function": lambda t: ob.model(
        more=ob.message(25, ob.message(7, ob.node("Constant", [], ["y"], ob.attribute(ob.message(5, t)))))
    ),
    "function's default": lambda t: ob.model(
        more=ob.message(25, ob.message(11, ob.text(1, "a"), ob.message(5, t)))
    ),
    "training": lambda t: ob.model(more=ob.message(20, ob.message(1, ob.message(5, t)))),
    "second graph": lambda t: ob.model(more=ob.message(7, ob.message(5, t))),
}


@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_found_wherever_it_hides(place: str) -> None:
    found = onnxfile.inspect(PLACES[place](ob.tensor("w", location="w.data", offset="4", length="8")))
    assert found.external == (onnxfile.External("w", "w.data", 4, 8),)


def test_a_tensor_in_two_pieces_is_not_overlooked() -> None:
    # Parsers merge the two: the mark in one, the place in the other.
    marked = ob.message(5, ob.number(14, 1))
    placed = ob.message(5, ob.message(13, ob.text(1, "location"), ob.text(2, "../secret")))
    constant = ob.node("Constant", [], ["y"], ob.message(5, ob.text(1, "value"), marked, placed))
    with pytest.raises(wire_format.BadOnnx, match="no place"):
        onnxfile.inspect(ob.model(ob.message(1, constant)))


@pytest.mark.parametrize(
    "location",
    [
        "../w.data",
        "a/../w.data",
        "/etc/passwd",
        "a//b",
        "./w.data",
        "a\\b",
        "C:w",
        "w\x00",
        "w\n",
        "w.data/",
        "*/_ORT_MEM_ADDR_/*",
        "unlisted",
    ],
)
def test_places_outside_the_listed_files_are_refused(location: str) -> None:
    found = onnxfile.inspect(ob.adding(ob.tensor("w", location=location)))
    with pytest.raises(
        wire_format.BadOnnx, match=r"not a plain relative path|not among the artifact's files"
    ):
        onnxfile.check_external(found, {"w.data": 8})


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "w.data", "offset": str(2**62)},
        {"location": "w.data", "offset": "9"},
        {"location": "w.data", "offset": "1", "length": "8"},
        {"location": "w.data", "length": str(2**62)},
    ],
)
def test_data_beyond_the_end_of_the_file_is_refused(entries: dict[str, str]) -> None:
    found = onnxfile.inspect(ob.adding(ob.tensor("w", **entries)))
    with pytest.raises(wire_format.BadOnnx, match="which has 8"):
        onnxfile.check_external(found, {"w.data": 8})


def test_data_that_fills_the_file_is_accepted() -> None:
    onnxfile.check_external(onnxfile.inspect(ob.adding(ob.tensor("w", **EXTERNAL))), {"w.data": 8})


@pytest.mark.parametrize("number", ["-1", "1e3", "0x10", "٣", "9" * 20, " 1"])
def test_offsets_that_are_no_numbers_are_refused(number: str) -> None:
    with pytest.raises(wire_format.BadOnnx, match="offset"):
        onnxfile.inspect(ob.adding(ob.tensor("w", location="w.data", offset=number)))


def test_external_data_without_a_place_is_refused() -> None:
    with pytest.raises(wire_format.BadOnnx, match="no place"):
        onnxfile.inspect(ob.adding(ob.tensor("w", offset="0")))


def test_a_place_named_twice_is_refused() -> None:
    twice = ob.message(13, ob.text(1, "location"), ob.text(2, "../x"))
    with pytest.raises(wire_format.BadOnnx, match="twice"):
        onnxfile.inspect(ob.adding(ob.tensor("w", **EXTERNAL) + twice))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not onnx",
        b"\x00",
        b"\x08",
        b"\x0b\x0c",
        b"\x0a\xff\xff\xff\xff\x7f",
        b"\xff" * 11,
        ob.number(1, 8),
    ],
)
def test_what_is_not_onnx_is_refused(data: bytes) -> None:
    with pytest.raises(wire_format.BadOnnx, match="not an ONNX file"):
        onnxfile.inspect(data)


def test_endless_nesting_is_refused() -> None:
    inner = ob.message(5, ob.tensor("w"))
    for _ in range(200):
        inner = ob.message(1, ob.node("If", [], ["y"], ob.attribute(ob.message(6, inner))))
    with pytest.raises(wire_format.BadOnnx, match="nested"):
        onnxfile.inspect(ob.model(inner))


@given(st.binary(max_size=300), st.integers(0, 500), st.binary(max_size=20))
def test_no_bytes_make_the_walker_fail_otherwise(data: bytes, at: int, middle: bytes) -> None:
    good = ob.adding(ob.tensor("w", **EXTERNAL))
    for case in (data, good[:at] + middle + good[at:], good[:at] + middle + good[at + len(middle) :]):
        try:
            found = onnxfile.inspect(case)
            onnxfile.check_external(found, {"w.data": 8})
        except wire_format.BadOnnx:
            pass


def test_time_is_linear_in_the_file() -> None:
    few = ob.model(*[ob.message(5, ob.tensor(f"w{k}")) for k in range(2000)])
    many = ob.model(*[ob.message(5, ob.tensor(f"w{k}")) for k in range(16000)])

    def seconds(data: bytes) -> float:
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            onnxfile.inspect(data)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(many) < 24 * seconds(few)


def test_agrees_with_the_onnx_package() -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    value = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "w"], ["y"]),
            helper.make_node("Odd", ["y"], ["z"], domain="my.domain"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("z", TensorProto.DOUBLE, None)],
        [value],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("my.domain", 3)], ir_version=9
    )
    found = onnxfile.inspect(model.SerializeToString())
    assert found.ir_version == 9
    assert found.opsets == {"": 17, "my.domain": 3}
    assert found.inputs == (onnxfile.Value("x", onnx.TensorProto.FLOAT, ("batch", 2)),)
    assert found.outputs == (onnxfile.Value("z", onnx.TensorProto.DOUBLE, None),)
    assert found.domains == ("my.domain",)


# --- in the probe ---------------------------------------------------------------------------


def external(home: Path, **entries: str) -> dict[str, object]:
    home.mkdir()
    (home / "model.onnx").write_bytes(ob.adding(ob.tensor("w", **entries)))
    (home / "w.data").write_bytes(np.array([1, 2], np.float32).tobytes())
    write_inputs(home, [np.zeros((1, 2), np.float32)])
    return artifact(home, "onnx", "model.onnx", names=["x"], name=home.name)


@pytest.mark.framework
def test_external_data_is_checked_before_onnxruntime_opens_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\x00" * 8)
    above = external(tmp_path / "above", location="../secret", length="8")
    far = external(tmp_path / "far", location="w.data", offset=str(2**62), length="8")
    unlisted = external(tmp_path / "unlisted", location="other", length="8")
    os.symlink("../secret", tmp_path / "unlisted" / "other")
    address = external(tmp_path / "address", location="*/_ORT_MEM_ADDR_/*", offset="1", length="8")
    linked = external(tmp_path / "linked", location="w.data", length="8")
    (tmp_path / "linked" / "w.data").unlink()
    os.symlink("../secret", tmp_path / "linked" / "w.data")
    good = external(tmp_path / "good", location="w.data", offset="0", length="8")
    replay = run([above, far, unlisted, address, linked, good], tmp_path)
    assert replay.status("above") == "refused"
    assert "'../secret'" in replay.results["above"]["reason"]
    assert replay.status("far") == "refused"
    assert "which has 8" in replay.results["far"]["reason"]
    assert replay.status("unlisted") == "refused"
    assert replay.status("address") == "refused"
    assert replay.status("linked") == "altered"
    assert "symbolic link" in replay.results["linked"]["reason"]
    assert replay.status("good") == "ok", replay.results["good"]["reason"]
    assert replay.outputs["good", "native"]["y"].tolist() == [[1.0, 2.0]]


@pytest.mark.framework
def test_a_broken_onnx_file_is_refused(tmp_path: Path) -> None:
    told = external(tmp_path / "cut", **EXTERNAL)
    path = tmp_path / "cut" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-3])
    from timeproof.testing.probing import files_of

    told["files"] = files_of(tmp_path / "cut")
    replay = run([told], tmp_path)
    assert replay.status("cut") == "refused"
    assert "not an ONNX file" in replay.results["cut"]["reason"]
