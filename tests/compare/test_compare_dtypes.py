"""Every dtype that NumPy has: what is identical, what is not, and that nothing raises."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from timeproof.compare.compare import Verdict, compare

Array = npt.NDArray[Any]

SUBARRAY = [("x", "i2", 2)]
NESTED = [("x", [("y", "f4")])]
PAIRS = {
    "bool": (np.array([True, False]), np.array([True, True])),
    "int8": (np.array([1, 2], "i1"), np.array([1, 3], "i1")),
    "uint64": (np.array([2**64 - 1, 0], "u8"), np.array([2**64 - 1, 1], "u8")),
    "bytes": (np.array([b"a", b"b"], "S3"), np.array([b"a", b"c"], "S3")),
    "text": (np.array(["ä", "b"]), np.array(["ä", "c"])),
    "date": (np.array(["2020-01-01", "NaT"], "M8[D]"), np.array(["2020-01-01", "2020-01-02"], "M8[D]")),
    "duration": (np.array([1, 2], "m8[ns]"), np.array([1, 3], "m8[ns]")),
    "void": (np.array([b"abc", b"abd"], "V3"), np.array([b"abc", b"abe"], "V3")),
    "fields": (np.array([(1, 2.0), (3, 4.0)], "i4,f8"), np.array([(1, 2.0), (3, 5.0)], "i4,f8")),
    "subarray": (np.array([((1, 2),), ((3, 4),)], SUBARRAY), np.array([((1, 2),), ((3, 5),)], SUBARRAY)),
    "nested": (np.array([((1,),), ((2,),)], NESTED), np.array([((1,),), ((3,),)], NESTED)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_has_no_scale_is_equal_or_broken(name: str) -> None:
    one, two = PAIRS[name]
    assert compare(one, one.copy()).verdict is Verdict.identical
    diff = compare(one, two)
    assert diff.verdict is Verdict.broken
    assert (diff.differing, diff.worst, diff.fraction) == (1, (1,), 0.5)
    assert diff.summary() == "1 of 2 elements differ, first at [1]"


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 1 has no variable-width strings")
def test_variable_width_strings_are_compared_by_content() -> None:
    one = np.array(["short", "long" * 50], np.dtypes.StringDType())
    two = np.array(["short", "long" * 49 + "loud"], np.dtypes.StringDType())
    assert compare(one, one.copy()).verdict is Verdict.identical
    assert compare(one, two).worst == (1,)


def test_the_only_row_of_every_shape_is_compared() -> None:
    for shape in [(), (1,), (1, 1), (1, 1, 1)]:
        one, two = np.zeros(shape), np.ones(shape)
        assert compare(one, one.copy()).verdict is Verdict.identical
        diff = compare(one, two)
        assert diff.verdict is Verdict.broken
        assert diff.worst == (0,) * len(shape)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_arrays_of_nothing_are_identical_by_dtype_and_shape(shape: tuple[int, ...]) -> None:
    assert compare(np.zeros(shape), np.zeros(shape)).verdict is Verdict.identical
    assert compare(np.zeros(shape), np.zeros(shape, "f4")).verdict is Verdict.rounding
    assert compare(np.zeros(shape), np.zeros((*shape[::-1], 1))).verdict is Verdict.broken


@pytest.mark.parametrize(
    ("left", "right"),
    [
        *[("<f4", ">f4"), ("<i8", ">i8"), ("<c8", ">c8"), ("<U2", ">U2"), ("<M8[s]", ">M8[s]")],
        *[("f4", "f8"), ("f8", "f2"), ("c8", "c16"), ("f4", "g")],
        *[("i4", "u4"), ("i8", "u8"), ("?", "u1"), ("i8", "f4"), ("f2", "u8"), ("U1", "U9"), ("S3", "S1")],
    ],
)
@pytest.mark.parametrize("swap", [False, True])
def test_equal_values_in_another_dtype_are_rounding_and_both_dtypes_are_named(
    left: str, right: str, swap: bool
) -> None:
    one, two = (np.array([0, 1, 1]).astype(dtype) for dtype in (left, right))
    diff = compare(*((two, one) if swap else (one, two)))
    assert diff.verdict is Verdict.rounding
    assert diff.summary() == f"equal in value; the dtype is {diff.actual_dtype}, not {diff.dtype}"
    assert {diff.dtype, diff.actual_dtype} == {str(one.dtype), str(two.dtype)}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("S1", "U1"),
        ("M8[s]", "M8[ns]"),
        ("f4", "c8"),
        ("i4", "c16"),
        ("i4,f4", "i4,f8"),
        ("i4", "O"),
        ("f4", "S4"),
    ],
)
def test_dtypes_of_another_kind_are_broken(left: str, right: str) -> None:
    for one, two in ((left, right), (right, left)):
        diff = compare(np.zeros(3, one), np.zeros(3, two))
        assert diff.verdict is Verdict.broken
        assert diff.summary() == f"the dtype is {diff.actual_dtype}, not {diff.dtype}"


def test_floats_of_another_width_are_graded_in_the_narrower_format() -> None:
    exact = np.linspace(1, 2, 24).reshape(8, 3)
    narrow = exact.astype("f4")
    for one, two in ((exact, narrow), (narrow, exact)):
        diff = compare(one, two)
        assert diff.verdict is Verdict.rounding
        assert diff.reason == (
            f"equal in value once rounded to float32; the dtype is {two.dtype}, not {one.dtype}"
        )
    apart = compare(exact + 3 * 2.0**-22, narrow)  # 3 of float32's steps near 2
    assert (apart.verdict, apart.sulp) == (Verdict.rounding, 3.0)
    assert apart.summary().endswith("; the dtype is float32, not float64")
    assert compare(exact + 2e-5, narrow).verdict is Verdict.drift
    assert compare(exact + 0.5, narrow).verdict is Verdict.broken
    assert compare(exact.astype("f2"), exact).verdict is Verdict.rounding


def test_whole_numbers_are_compared_with_floats_where_the_format_holds_them() -> None:
    leaves = np.array([3, 4, 5])
    assert compare(leaves.astype("f4"), leaves).verdict is Verdict.rounding
    scaled = leaves.astype("f4")  # a reference of floats has a scale, one of labels has none
    assert compare(scaled * np.float32(1 + 1e-6), leaves).verdict is Verdict.rounding
    assert compare(scaled + np.float32(1), leaves).verdict is Verdict.broken
    assert compare(leaves, scaled * np.float32(1 + 1e-6)).verdict is Verdict.broken
    large = np.array([2**24 + 1])
    assert compare(large, large.astype("f4")).verdict is Verdict.broken
    assert compare(large, large.astype("f8")).verdict is Verdict.rounding


def test_whole_numbers_that_wrap_round_are_not_equal() -> None:
    assert compare(np.array([-1], "i8"), np.array([2**64 - 1], "u8")).verdict is Verdict.broken
    assert compare(np.array([-1], "i1"), np.array([255], "u1")).verdict is Verdict.broken
    diff = compare(np.array([1, 2], "i4"), np.array([1, 3], "i8"))
    assert diff.verdict is Verdict.broken
    assert diff.summary() == "1 of 2 elements differ, first at [1]; the dtype is int64, not int32"


def test_bfloat16_is_compared_with_other_floats() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    narrow = np.array([1.0, 0.0625], ml_dtypes.bfloat16)
    for other in ("f2", "f4", "f8"):
        assert compare(narrow, narrow.astype(other)).verdict is Verdict.rounding
        assert compare(narrow.astype(other), narrow).verdict is Verdict.rounding


def test_another_shape_is_broken_and_both_are_named() -> None:
    diff = compare(np.zeros((97, 10)), np.zeros((970,)))
    assert diff.verdict is Verdict.broken
    assert diff.summary() == "the shape is [970], not [97, 10]"


def test_a_zero_of_the_other_sign_is_rounding_not_identity() -> None:
    diff = compare(np.array([0.0, 1.0]), np.array([-0.0, 1.0]))
    assert (diff.verdict, diff.signed_zeros, diff.nan_payloads) == (Verdict.rounding, 1, 0)
    assert "1 signed zeros" in diff.summary()


@pytest.mark.parametrize("bits", [0x7FC00001, 0xFFC00000, 0x7F800001])
def test_another_nan_payload_is_rounding_not_identity(bits: int) -> None:
    plain, other = (np.array([b, 0], "u4").view("f4") for b in (0x7FC00000, bits))
    diff = compare(plain, other)
    assert (diff.verdict, diff.signed_zeros, diff.nan_payloads) == (Verdict.rounding, 0, 1)


def test_padding_between_fields_does_not_count() -> None:
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    assert dtype.itemsize == 16
    one, two = (np.frombuffer(bytearray([fill]) * 32, dtype) for fill in (0, 255))
    for array in (one, two):
        array["a"], array["b"] = 1, 2.0
    assert one.tobytes() != two.tobytes()
    assert compare(one, two).verdict is Verdict.identical


@pytest.mark.skipif(np.finfo("g").nmant != 63, reason="long doubles have no padding on this machine")
@pytest.mark.parametrize("dtype", ["<g", ">g", "<G", ">G"])
def test_padding_of_long_doubles_does_not_count(dtype: str) -> None:
    one = np.ones(4, dtype)
    raw = np.frombuffer(bytearray(one.tobytes()), np.uint8).copy().reshape(-1, 16)
    raw[:, slice(10, 16) if dtype.startswith("<") else slice(0, 6)] = 0xA5
    two = raw.reshape(-1).view(dtype)
    assert one.tobytes() != two.tobytes()
    assert compare(one, two).verdict is Verdict.identical
    two = two + np.finfo("g").eps
    assert compare(one, two.astype(dtype)).verdict is Verdict.rounding


def test_big_endian_floats_are_measured_as_little_endian_ones() -> None:
    one = np.linspace(1, 2, 24).reshape(8, 3)
    two = one + 1e-7 * np.arange(24).reshape(8, 3)
    little = compare(one, two).to_json()
    big = compare(one.astype(">f8"), two.astype(">f8")).to_json()
    assert {k: v for k, v in big.items() if "dtype" not in k} == {
        k: v for k, v in little.items() if "dtype" not in k
    }


def test_python_objects_are_never_identical() -> None:
    array = np.array([1, "a"], object)
    diff = compare(array, array)
    assert diff.verdict is Verdict.broken
    assert "objects" in diff.reason
    holding = np.zeros(2, [("x", object)])
    assert compare(holding, holding).verdict is Verdict.broken


def test_an_array_at_an_odd_address_is_compared() -> None:
    raw = np.zeros(41, np.uint8)
    odd = raw[1:].view("f4")
    assert not odd.flags.aligned
    assert compare(odd, np.zeros(10, "f4")).verdict is Verdict.identical
    assert compare(odd, np.ones(10, "f4")).verdict is Verdict.broken
    assert compare(odd.reshape(5, 2).astype("c8"), odd.view("c8").reshape(5, 1)).verdict is Verdict.broken


def test_a_read_only_array_is_compared_and_left_alone() -> None:
    one = np.frombuffer(np.arange(8, dtype="f8").tobytes(), "f8")
    two = np.frombuffer(np.arange(8, dtype="f8").tobytes()[::-1], "f8")
    before = one.tobytes(), two.tobytes()
    assert compare(one, two).verdict is Verdict.broken
    assert (one.tobytes(), two.tobytes()) == before


def test_memory_stays_bounded_by_the_chunk() -> None:
    import tracemalloc

    one = np.zeros((4_000_000, 2), "f4")
    two = one.copy()
    two[-1, -1] = 1e-3
    tracemalloc.start()
    try:
        diff = compare(one, two, chunk=1 << 14)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert diff.worst == (3_999_999, 1)
    assert peak < 4 * 2**20, peak
