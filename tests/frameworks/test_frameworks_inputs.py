"""Inputs of every make become named, C-ordered copies, or a clear refusal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from timeproof.errors import BadRequest, NotArchivable, NotFound
from timeproof.frameworks import adapter_for, adapter_for_file, adapter_named, normalise_inputs
from timeproof.frameworks.base import json_values
from timeproof.frameworks.options import FrameworkOptions

A, B = np.arange(6.0).reshape(2, 3), np.arange(4, dtype=np.int8)


@given(
    hnp.arrays(
        dtype=st.one_of(
            hnp.scalar_dtypes(),
            hnp.byte_string_dtypes(min_len=1, max_len=5),
            hnp.unicode_string_dtypes(min_len=1, max_len=5),
        ),
        shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    )
)
def test_an_array_keeps_its_dtype_shape_and_bytes(array: np.ndarray) -> None:
    (found,) = normalise_inputs(array).values()
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.c_contiguous
    assert not np.shares_memory(found, array)


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (A, ["input"]),
        ([A], ["input"]),
        ([A, B], ["input_0", "input_1"]),
        ((A, B), ["input_0", "input_1"]),
        ({"left": A, "right": B}, ["left", "right"]),
        ({"right": B, "left": A}, ["right", "left"]),
        ([[1, 2], [3, 4]], ["input"]),
        (3.5, ["input"]),
        ((A, 3), ["input_0", "input_1"]),
        (torch.ones(2), ["input"]),
        ((torch.ones(2), A), ["input_0", "input_1"]),
    ],
)
def test_inputs_are_named_in_their_order(inputs: object, names: list[str]) -> None:
    assert list(normalise_inputs(inputs)) == names


def test_one_input_may_have_another_name() -> None:
    assert list(normalise_inputs(A, default_name="pixels")) == ["pixels"]


def test_fortran_order_and_steps_become_c_order() -> None:
    for array in (np.asfortranarray(A), A[:, ::-1], A.T):
        (found,) = normalise_inputs(array).values()
        assert found.flags.c_contiguous
        assert np.array_equal(found, array)


def test_structured_arrays_are_kept() -> None:
    array = np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", ">f8")])
    (found,) = normalise_inputs(array).values()
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


def test_tensors_that_need_gradients_are_detached() -> None:
    tensor = torch.ones(3, requires_grad=True)
    (found,) = normalise_inputs(tensor).values()
    assert found.tolist() == [1, 1, 1]


def frame_like(name: str, array: np.ndarray, dtypes: list[str]) -> object:
    """A table as pandas' to the eye of the toolkit, which never imports pandas."""

    class Table:
        def __init__(self) -> None:
            self.columns = ["a", "b"]
            self.dtypes = dtypes

        def to_numpy(self) -> np.ndarray:
            return array

    Table.__module__ = "pandas.core.frame"
    Table.__qualname__ = Table.__name__ = name
    return Table()


def test_a_table_of_one_dtype_is_an_array() -> None:
    (found,) = normalise_inputs(frame_like("DataFrame", A, ["float64", "float64"])).values()
    assert np.array_equal(found, A)


class Duck:
    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.array([object()], dtype=object)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (None, "not an input"),
        ("file.npy", "not an input"),
        (Path("x.npy"), "not an input"),
        (b"bytes", "not an input"),
        ([], "empty"),
        ({}, "no inputs"),
        (np.zeros((0, 3)), "empty"),
        ({"a": None}, "None"),
        ({1: A}, "can't name"),
        ({"": A}, "can't name"),
        ({"a\nb": A}, "can't name"),
        ({"a" * 201: A}, "can't name"),
        ({"a": np.array([{}], dtype=object)}, "Python objects"),
        (Duck(), "Python objects"),
        ([[1, 2], [3]], "no array"),
        ({1, 2}, "Python objects"),
        (np.array([(object(),)], dtype=[("a", "O")]), "Python objects"),
        (np.ma.masked_array([1, 2], [True, False]), "masked"),
        (torch.eye(2).to_sparse(), "sparse"),
        (frame_like("DataFrame", A, ["float64", "int64"]), "several types"),
        (frame_like("DataFrame", np.array([["x"]], dtype=object), ["object"]), "table of object"),
    ],
)
def test_what_has_no_bytes_that_last_is_refused_with_advice(inputs: object, words: str) -> None:
    with pytest.raises(NotArchivable, match=words) as caught:
        normalise_inputs(inputs)
    assert caught.value.advice


def test_dtypes_of_extension_packages_are_refused() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(NotArchivable, match="bfloat16"):
        normalise_inputs(np.ones(2, ml_dtypes.bfloat16))


def test_sparse_matrices_are_refused() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(NotArchivable, match="sparse"):
        normalise_inputs(sparse.eye(3).tocsr())


# --- which adapter --------------------------------------------------------------------------


def test_the_package_imports_no_framework() -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'xgboost', 'lightgbm', 'onnx', 'onnxruntime'): sys.modules[name] = None\n"
        "import timeproof.frameworks as f\n"
        "assert f.adapter_named('pytorch').name == 'pytorch'\n"
        "for name in ('pytorch', 'xgboost', 'lightgbm', 'onnx'):\n"
        "    assert not f.adapter_named(name).recognises(object())\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("model", [object(), None, 3, "model.pkl", {"a": 1}, lambda x: x])
def test_models_of_no_known_framework_are_refused(model: object) -> None:
    with pytest.raises(NotArchivable, match="known framework"):
        adapter_for(model)


def test_an_unknown_name_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="'keras'"):
        adapter_named("keras")


@pytest.mark.parametrize(
    ("name", "data", "framework"),
    [
        ("m.onnx", b"", "onnx"),
        ("M.ONNX", b"", "onnx"),
        ("m.ubj", b"{L\0\0\0\0\0\0\0\x07learner", "xgboost"),
        ("m.model", b"{L\0\0\0\0\0\0\0\x07learner", "xgboost"),
        ("m.model", b'{"learner":{"x":1}}', "xgboost"),
        ("m.model", b"tree\r\nversion=v3\r\n", "lightgbm"),
        ("m", b"tree\nversion=v4\n", "lightgbm"),
        ("m.json", b'{"learner":{"x":1}}', "xgboost"),
        ("m.json", b'{"version":[3,2,0],"learner":{}}', "xgboost"),
        ("m.txt", b"tree\nversion=v4\n", "lightgbm"),
    ],
)
def test_files_are_known_by_name_and_first_bytes(
    tmp_path: Path, name: str, data: bytes, framework: str
) -> None:
    (tmp_path / name).write_bytes(data)
    assert adapter_for_file(tmp_path / name).name == framework


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m.pth", b"PK\x03\x04", "zip file that is damaged"),
        ("m.pkl", b"", "not a model file"),
        ("m.json", b'{"name":"tree","version":"v4"', "dump_model"),
        ("m.json", b"[1, 2]", "not a model file"),
        ("m.txt", b"hello", "not a model file"),
        ("m.h5", b"", "not a model file"),
    ],
)
def test_files_that_can_not_be_archived_are_refused(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NotArchivable, match=words) as caught:
        adapter_for_file(tmp_path / name)
    assert caught.value.advice


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        adapter_for_file(tmp_path / "m.onnx")


# --- JSON values ----------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_values_stay_as_they_are(value: object) -> None:
    notes: list[str] = []
    assert json_values(value, "x", notes) == value
    assert notes == []


def test_tuples_and_numpy_scalars_are_changed_and_told() -> None:
    notes: list[str] = []
    found = json_values({"sizes": (1, 2), "rate": np.float32(0.5)}, "init_args", notes)
    assert found == {"sizes": [1, 2], "rate": 0.5}
    assert len(notes) == 2
    assert "init_args['sizes']" in notes[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"act": torch.relu}, r"init_args\['act'\]"),
        ({"a": {"b": [1, float("nan")]}}, r"init_args\['a'\]\['b'\]\[1\] is nan"),
        ({"a": float("inf")}, "inf"),
        ({"a": 2**60}, "beyond"),
        ({1: "a"}, "not a string"),
        ({"a": {1, 2}}, "builtins.set"),
        ({"a": torch.ones(1)}, "torch.Tensor"),
        ({"a": b"bytes"}, "builtins.bytes"),
    ],
)
def test_what_json_can_not_hold_is_named(value: object, words: str) -> None:
    with pytest.raises(NotArchivable, match=words):
        json_values(value, "init_args", [])


def test_an_unknown_graph_optimisation_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="'fast'"):
        FrameworkOptions(graph_optimization="fast")  # type: ignore[arg-type]
