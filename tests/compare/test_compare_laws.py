"""Laws of the one comparison, over arrays that Hypothesis makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.laws import examples

from timeproof.compare.compare import Verdict, compare

Array = npt.NDArray[Any]
LAW = examples(60)

FLOATS = st.sampled_from(["<f2", "<f4", "<f8", ">f4", ">f8"])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=6)


def floats(dtype: st.SearchStrategy[str] = FLOATS, shape: Any = SHAPES) -> st.SearchStrategy[Array]:
    return dtype.flatmap(lambda d: hnp.arrays(d, shape))


def any_dtype() -> st.SearchStrategy[np.dtype[Any]]:
    simple = st.one_of(hnp.scalar_dtypes(), hnp.byte_string_dtypes(), hnp.unicode_string_dtypes())
    return st.one_of(simple, hnp.array_dtypes(subtype_strategy=simple, allow_subarrays=True))


def any_array() -> st.SearchStrategy[Array]:
    shape = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    return any_dtype().flatmap(lambda d: hnp.arrays(d, shape))


@given(any_array())
@LAW
def test_an_array_is_identical_to_its_copy(array: Array) -> None:
    diff = compare(array, array.copy())
    assert diff.verdict is Verdict.identical
    assert diff.differing == 0
    assert diff.summary().startswith("every byte equal")


@given(any_array(), any_array())
@LAW
def test_any_two_arrays_give_a_verdict_and_strict_json(left: Array, right: Array) -> None:
    diff = compare(left, right)
    assert diff.verdict.graded
    assert diff.summary()
    assert diff.to_json()["verdict"] == diff.verdict


@given(floats(), st.data())
@LAW
def test_one_flipped_bit_of_a_float_is_never_identical(array: Array, data: st.DataObject) -> None:
    raw = bytearray(array.tobytes())
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    other = np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
    diff = compare(array, other)
    assert diff.verdict > Verdict.identical
    assert diff.differing == 1
    at = np.unravel_index(bit // 8 // array.dtype.itemsize, array.shape) if array.shape else ()
    assert diff.worst == at


@given(st.data())
@LAW
def test_what_is_no_matter_of_scale_is_symmetric(data: st.DataObject) -> None:
    left = data.draw(floats())
    right = data.draw(hnp.arrays(left.dtype, left.shape))
    one, two = compare(left, right), compare(right, left)
    for fact in ("differing", "max_abs", "max_ulp", "nan_moved", "inf_moved", "nan_payloads", "signed_zeros"):
        assert getattr(one, fact) == getattr(two, fact), fact
    assert (one.verdict is Verdict.identical) == (two.verdict is Verdict.identical)


@given(st.data(), st.sampled_from(["f2", "f4", "f8"]))
@LAW
def test_a_growing_perturbation_never_gives_a_better_verdict(data: st.DataObject, dtype: str) -> None:
    """All of it in whole steps: what rounds to the type on its way grows by fits and starts, and a tie's
    winner can change and change back."""
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=12))
    step = float(np.finfo(dtype).eps)
    array = data.draw(hnp.arrays("f8", shape, elements=st.floats(-1, 1, width=16)))
    array = np.rint(array / step) * step
    direction = data.draw(hnp.arrays("f8", shape, elements=st.integers(-8, 8).map(float))) * step
    verdicts = []
    for doubling in range(int(-np.log2(step)) - 3):
        moved = array + direction * 2.0**doubling
        assert (moved.astype(dtype) == moved).all()
        verdicts.append(compare(array.astype(dtype), moved.astype(dtype)).verdict)
    assert verdicts == sorted(verdicts)


@given(st.data(), st.sampled_from(["f2", "f4", "f8", "g"]))
@LAW
def test_one_step_of_the_largest_element_is_one_sulp(data: st.DataObject, dtype: str) -> None:
    array = data.draw(hnp.arrays("f2", st.integers(1, 30), elements=st.floats(-100, 100, width=16)))
    array = array.astype(dtype)
    at = int(np.abs(array).argmax())
    assume(array[at] != 0)
    moved = array.copy()
    moved[at] = np.nextafter(array[at], np.array(np.copysign(np.inf, array[at]), dtype))
    diff = compare(array, moved)
    assert diff.sulp == 1.0
    assert diff.worst == (at,)
    assert diff.max_ulp == (1 if array.dtype.itemsize <= 8 else None)


@given(st.data(), st.integers(1, 40))
@LAW
def test_the_chunk_size_changes_nothing(data: st.DataObject, chunk: int) -> None:
    dtype = data.draw(st.sampled_from(["f2", "f4", "f8", "c8", "c16", "i4", "U2"]))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5))
    left, right = (data.draw(hnp.arrays(dtype, shape)) for _ in range(2))
    assert compare(left, right, chunk=chunk).to_json() == compare(left, right, chunk=1 << 20).to_json()


@given(st.data())
@LAW
def test_another_dtype_is_never_identical_and_equal_values_are_never_worse_than_rounding(
    data: st.DataObject,
) -> None:
    array = data.draw(floats(st.just("<f2")))
    wide = array.astype(data.draw(st.sampled_from([">f2", "<f4", "<f8", "g"])))
    for one, two in ((array, wide), (wide, array)):
        diff = compare(one, two)
        assert diff.verdict is Verdict.rounding
        assert diff.actual_dtype in diff.summary()


@given(st.data())
@LAW
def test_the_order_of_rows_changes_no_verdict(data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 60)), data.draw(st.integers(1, 4)))
    left = data.draw(hnp.arrays("f4", shape, elements=st.floats(-1, 1, width=32)))
    noise = data.draw(hnp.arrays("f4", shape, elements=st.sampled_from([0, 1e-7, 1e-5, 3e-4, 0.1])))
    order = data.draw(st.permutations(range(shape[0])))
    one, two = compare(left, left + noise), compare(left[order], (left + noise)[order])
    assert one.verdict is two.verdict
    assert (one.rows_beyond, one.rows_off, one.flips) == (two.rows_beyond, two.rows_off, two.flips)


@given(st.data())
@LAW
def test_the_layout_in_memory_changes_nothing(data: st.DataObject) -> None:
    left = data.draw(hnp.arrays("f4", (5, 3, 2), elements=st.floats(-1, 1, width=32)))
    right = left + data.draw(st.sampled_from([0, 1e-6, 1e-2])) * np.arange(30, dtype="f4").reshape(5, 3, 2)
    strided = np.zeros((10, 3, 2), "f4")[::2]
    strided[...] = right
    assert compare(np.asfortranarray(left), strided).to_json() == compare(left, right).to_json()


@given(hnp.arrays("f4", (6, 3), elements=st.floats(-1, 1, width=32)), st.integers(0, 5), st.floats(0.01, 1))
@LAW
def test_a_real_flip_is_broken_whatever_else_holds(array: Array, row: int, margin: float) -> None:
    array = np.vstack([array] * 100)  # one row of 600 would be an outlier
    array[row] = [0, margin, -1]
    flipped = array.copy()
    flipped[row] = [margin, 0, -1]
    diff = compare(array, flipped)
    assert diff.verdict is Verdict.broken
    assert diff.flips == 1
    assert diff.tie_flips == 0


@given(st.integers(1, 20), st.integers(0, 19))
@LAW
def test_a_flip_at_a_tie_is_drift_at_most(steps: int, row: int) -> None:
    array = np.tile(np.array([0.25, 0.5, 0.5], "f4"), (20, 1))
    moved = array.copy()
    moved[row, 2] += np.float32(steps * 2.0**-24)
    diff = compare(array, moved)
    assert diff.verdict is Verdict.drift
    assert (diff.flips, diff.tie_flips, diff.smallest_margin) == (1, 1, 0.0)


@given(floats(), st.data())
@LAW
def test_a_nan_that_moved_is_broken(array: Array, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, array.size - 1))
    moved = array.copy()
    was_nan = bool(np.isnan(array.flat[at]))
    moved.flat[at] = 0 if was_nan else np.nan
    for one, two in ((array, moved), (moved, array)):
        diff = compare(one, two)
        assert diff.verdict is Verdict.broken
        assert diff.nan_moved == 1
        assert "1 NaN moved" in diff.summary()


@given(floats(), st.data())
@LAW
def test_an_infinity_that_moved_is_broken(array: Array, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, array.size - 1))
    one, two = array.copy(), array.copy()
    one.flat[at], two.flat[at] = np.inf, data.draw(st.sampled_from([-np.inf, 0]))
    for left, right in ((one, two), (two, one)):
        diff = compare(left, right)
        assert diff.verdict is Verdict.broken
        assert diff.inf_moved == 1


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "c8", "c16", "G"])
@given(data=st.data())
@examples(15)
def test_the_ends_of_the_range_neither_overflow_nor_warn(data: st.DataObject, dtype: str) -> None:
    end = np.finfo(dtype)
    odd = st.sampled_from([end.max, -end.max, end.tiny, end.smallest_subnormal, np.inf, -np.inf, np.nan, 0])
    left, right = (np.array(data.draw(st.lists(odd, min_size=6, max_size=6)), dtype) for _ in range(2))
    diff = compare(left.reshape(2, 3), right.reshape(2, 3))
    assert diff.verdict.graded
    assert not any(isinstance(v, float) and not np.isfinite(v) for v in diff.to_json().values())


@given(st.data(), st.sampled_from(["f2", "f4", "f8", "c8", "g"]))
@LAW
def test_the_histogram_counts_every_finite_element_once(data: st.DataObject, dtype: str) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=5))
    left, right = (data.draw(hnp.arrays(dtype, shape)) for _ in range(2))
    diff = compare(left, right)
    if diff.histogram is None:
        assert diff.verdict is Verdict.identical
        return
    parts = [np.atleast_1d(a).view(a.real.dtype) for a in (left, right)]
    assert sum(diff.histogram) == np.count_nonzero(np.isfinite(parts[0]) & np.isfinite(parts[1]))
    assert not diff.histogram or diff.histogram[-1] > 0
    assert len(diff.histogram) <= 65


@given(st.lists(st.integers(0, 2**20), min_size=1, max_size=20))
@LAW
def test_the_histogram_is_by_powers_of_two_of_the_scales_step(steps: list[int]) -> None:
    left = np.full(len(steps) + 1, 0.75)  # one step is 2**-53
    moved = left - np.array([*steps, 1]) * 2.0**-53
    diff = compare(left, moved)
    told = np.zeros(65, int)
    for step in [*steps, 1]:
        told[step.bit_length() - 1 + 10 if step else 0] += 1
    assert diff.histogram == tuple(np.trim_zeros(told, "b"))


def test_the_ends_of_the_histogram_take_what_lies_beyond() -> None:
    left = np.array([1.0, 0.0, 0.0, 0.0])
    right = np.array([1.0, 2.0**-52 * 2.0**-8, 2.0**-52 * 2.0**-9, 2.0**40])
    found = compare(left, right).histogram
    assert found is not None
    assert (found[0], found[1], found[2], found[64], len(found)) == (1, 1, 1, 1, 65)
    assert compare(np.array([1, 2]), np.array([1, 3])).histogram is None
