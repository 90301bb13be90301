"""What was measured (docs/numerics.md), and the verdict that each case must get."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from timeproof.compare.compare import THRESHOLDS, Thresholds, Verdict, compare
from timeproof.errors import BadRequest

Array = npt.NDArray[Any]
ULP = 2.0**-23  # of float32, at 1


def probabilities(rows: int, dtype: str = "f4") -> Array:
    """Made-up probabilities of the first of two classes, the largest exactly 1."""
    found = np.random.default_rng(442).uniform(0.1, 0.9, rows)
    found[0] = 1.0
    return found.astype(dtype)


def moved_by(array: Array, distance: float) -> Array:
    return array - array.dtype.type(distance)


@pytest.mark.parametrize(
    ("sulp", "verdict"),
    [
        (1, Verdict.rounding),
        (18, Verdict.rounding),  # onnxruntime's trees
        (28, Verdict.rounding),  # every CPU, batch, alignment and version effect on nets
        (32, Verdict.rounding),
        (33, Verdict.drift),
        (283, Verdict.drift),  # a 300,000-element reduction
        (838, Verdict.drift),  # 1e-4 of the scale
        (840, Verdict.outliers),  # the scale's gap: more than drift, less than broken
        (8388, Verdict.outliers),  # 1e-3 of the scale
        (8390, Verdict.broken),
    ],
)
def test_float32_grades_by_steps_of_the_largest_value(sulp: int, verdict: Verdict) -> None:
    reference = np.linspace(0.25, 1, 97, dtype="f4")
    diff = compare(reference, moved_by(reference, sulp * ULP))
    assert diff.verdict is verdict
    assert diff.sulp == sulp
    assert diff.relative == pytest.approx(sulp * ULP)


def test_five_of_442_rows_off_by_a_threshold_are_outliers() -> None:
    reference = probabilities(442)
    converted = moved_by(reference, 2.0**-22)
    off = [10, 99, 200, 201, 441]
    converted[off] -= np.float32(0.066)
    diff = compare(reference, converted)
    assert diff.verdict is Verdict.outliers
    assert (diff.rows_beyond, diff.first_rows_beyond, diff.rows_off) == (5, tuple(off), 5)
    assert "5 of 442 rows" in diff.summary()
    assert "5 of 442 rows are off" in diff.reason


def test_more_than_a_few_rows_off_are_broken() -> None:
    reference = probabilities(442)
    converted = reference.copy()
    converted[100:109] -= np.float32(0.066)
    assert compare(reference, converted).verdict is Verdict.broken


def test_every_row_off_by_half_the_scale_is_broken() -> None:
    reference = probabilities(97)
    diff = compare(reference, moved_by(reference, 0.411))
    assert diff.verdict is Verdict.broken
    assert diff.max_abs == pytest.approx(0.411, rel=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_a_row_among_fewer_than_ten_is_no_outlier(rows: int) -> None:
    reference = np.ones(rows, "f4")
    wrong = reference.copy()
    wrong[0] = 0.5
    assert compare(reference, wrong).verdict is Verdict.broken
    tenfold = np.ones(10, "f4")
    tenfold[0] = 0.5
    assert compare(np.ones(10, "f4"), tenfold).verdict is Verdict.outliers


def test_an_outlier_that_changes_a_label_is_broken() -> None:
    reference = np.tile(np.array([0.9, 0.1], "f4"), (442, 1))
    wrong = reference.copy()
    wrong[7] = [0.1, 0.9]
    diff = compare(reference, wrong)
    assert diff.verdict is Verdict.broken
    assert diff.reason == "1 flips that are no ties"


def test_an_outlier_hides_no_drift_of_the_rest() -> None:
    reference = probabilities(442)
    wrong = moved_by(reference, 100 * ULP)
    wrong[5] -= np.float32(0.066)
    assert compare(reference, wrong).verdict is Verdict.broken


@pytest.mark.parametrize(
    ("name", "distance", "verdict"),
    [
        ("float16", 2.0**-11, Verdict.drift),
        ("float16", 2.0**-10, Verdict.drift),  # one step of the format: 9.8e-4
        ("float16", 2.0**-9, Verdict.broken),
        ("float64", 32 * 2.0**-52, Verdict.rounding),
        ("float64", 33 * 2.0**-52, Verdict.drift),
        ("float64", 2e-4, Verdict.outliers),
        ("longdouble", 32 * float(np.finfo("g").eps), Verdict.rounding),
        ("longdouble", 34 * float(np.finfo("g").eps), Verdict.drift),
    ],
)
def test_other_formats_grade_by_their_own_steps(name: str, distance: float, verdict: Verdict) -> None:
    reference = np.ones(20, name)
    reference[10:] = 0.5
    changed = reference.copy()
    changed[10:] += reference.dtype.type(distance)
    assert compare(reference, changed).verdict is verdict


def test_small_elements_of_float16_may_round() -> None:
    reference = np.array([1.0, 2.0**-10], "f2")
    other = np.array([1.0, np.nextafter(np.float16(2.0**-10), np.float16(1))], "f2")
    diff = compare(reference, other)
    assert diff.verdict is Verdict.rounding
    assert diff.max_ulp == 1
    assert diff.sulp == 2.0**-10


def test_bfloat16_has_its_own_steps_and_drift() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    reference = np.array([1.0, 0.0625], ml_dtypes.bfloat16)
    assert compare(reference, reference.copy()).verdict is Verdict.identical
    small = np.array([1.0, 0.0625 + 2.0**-11], ml_dtypes.bfloat16)
    diff = compare(reference, small)
    assert (diff.verdict, diff.dtype, diff.sulp, diff.max_ulp) == (Verdict.drift, "bfloat16", 2.0**-4, 1)
    large = np.array([1.0 + 2.0**-7, 0.0625], ml_dtypes.bfloat16)
    assert compare(reference, large).verdict is Verdict.broken


def test_values_made_in_a_narrower_format_are_graded_by_it() -> None:
    reference = probabilities(442, "f8")
    reference[1] = 0.25
    other = reference - 4e-7
    assert compare(reference, other).verdict is Verdict.drift
    diff = compare(reference, other, computed_in="float32")
    assert diff.verdict is Verdict.rounding
    assert diff.sulp == pytest.approx(4e-7 / ULP)
    assert compare(reference.astype("f4"), other.astype("f4"), computed_in="float64").sulp < 5  # type: ignore[operator]


def test_an_unknown_format_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="'float8' is none of float16, bfloat16, float32"):
        compare(np.ones(1), np.ones(1), computed_in="float8")


def test_complex_numbers_are_measured_by_their_parts() -> None:
    reference = np.array([[1 + 0.5j, 0.25j], [0.5, 0.75]], "c8")
    other = reference.copy()
    other[1, 0] += 3j * ULP
    diff = compare(reference, other)
    assert (diff.verdict, diff.worst, diff.differing, diff.sulp) == (Verdict.rounding, (1, 0), 1, 3.0)
    assert diff.flips is None


def test_a_reference_of_zeros_forgives_only_the_last_bits() -> None:
    zeros = np.zeros(3, "f4")
    assert compare(zeros, zeros + np.float32(1e-44)).verdict is Verdict.rounding
    diff = compare(zeros, zeros + np.float32(1e-9))
    assert diff.verdict is Verdict.broken
    assert diff.to_json()["relative"] == "Infinity"


def test_the_scale_is_of_the_finite_values() -> None:
    reference = np.array([np.inf, np.nan, 1.0, 0.5], "f4")
    other = np.array([np.inf, np.nan, 1.0, 0.5 + ULP], "f4")
    diff = compare(reference, other)
    assert (diff.verdict, diff.scale, diff.sulp, diff.worst) == (Verdict.rounding, 1.0, 1.0, (3,))


def test_a_flip_is_no_tie_because_the_difference_is_large() -> None:
    # Twice the largest difference always reaches the margin of a label that flipped.
    reference = np.array([[0.6, 0.4]] * 20, "f4")
    other = np.array([[0.4, 0.6]] * 20, "f4")
    diff = compare(reference, other)
    assert diff.smallest_margin is not None
    assert diff.max_abs is not None
    assert diff.smallest_margin <= 2 * diff.max_abs
    assert (diff.flips, diff.tie_flips, diff.verdict) == (20, 0, Verdict.broken)


def test_argmax_is_looked_for_only_where_there_is_one() -> None:
    for shape in [(), (4,), (4, 1)]:
        reference = np.full(shape, 0.49, "f4")
        diff = compare(reference, reference + np.float32(ULP))
        assert (diff.flips, diff.smallest_margin) == (None, None), shape
    deep = np.zeros((2, 3, 4), "f4")
    deep[..., 1] = 1
    other = deep.copy()
    other[1, 2] = [0, 0, 0, 1]
    assert compare(deep, other, scores=True).flips == 1
    assert compare(deep[0, 0], other[1, 2], scores=True).flips is None


@pytest.mark.parametrize(
    ("shape", "counted"),
    [((97, 2), True), ((97, 100), True), ((97, 101), False), ((97, 512), False), ((1, 1, 8, 8), False)],
)
def test_without_a_mark_two_dimensions_with_few_columns_are_class_scores(
    shape: tuple[int, ...], counted: bool
) -> None:
    reference = np.random.default_rng(7).uniform(0.1, 0.9, shape).astype("f4")
    other = reference + np.float32(ULP)
    assert (compare(reference, other).flips is not None) is counted
    for mark in (True, False):
        assert (compare(reference, other, scores=mark).flips is not None) is mark


def test_a_half_unit_in_a_flat_row_of_an_image_is_rounding() -> None:
    """A text detector's map: large areas are one value, to the last bit."""
    reference = np.random.default_rng(7).uniform(0, 1, (1, 1, 64, 64)).astype("f4")
    reference[0, 0, 20:40] = np.float32(0.1)
    other = reference.copy()
    other[0, 0, 30, 17] += np.float32(2.0**-27)
    diff = compare(reference, other)
    assert (diff.verdict, diff.flips) == (Verdict.rounding, None)


@pytest.mark.parametrize("value", [0.1, 0.0, np.inf, -np.inf])
def test_a_row_of_one_value_has_no_winner(value: float) -> None:
    reference = np.tile(np.array([0.25, 0.5], "f4"), (20, 1))
    reference[3] = value
    other = reference.copy()
    other[4] -= np.float32(ULP / 4)
    if np.isfinite(value):
        other[3, 1] += np.float32(2.0**-27)
    diff = compare(reference, other)
    assert (diff.verdict, diff.flips, diff.tie_flips) == (Verdict.rounding, 0, 0)
    assert diff.smallest_margin == 0.25
    flat = compare(np.full((5, 3), 0.5, "f4"), np.array([[0.5, 0.5, 0.5 + ULP]] * 5, "f4"))
    assert (flat.verdict, flat.flips, flat.smallest_margin) == (Verdict.rounding, 0, None)


def test_nans_win_no_label() -> None:
    reference = np.array([[np.nan, 0.5, 0.2], [np.nan, np.nan, 1.0]], "f4")
    other = reference + np.float32(ULP)
    diff = compare(reference, other)
    assert (diff.verdict, diff.flips) == (Verdict.rounding, 0)
    assert diff.smallest_margin == pytest.approx(0.3)


def test_thresholds_can_be_tightened() -> None:
    reference = np.ones(3, "f4")
    other = moved_by(reference, 4 * ULP)
    assert compare(reference, other).verdict is Verdict.rounding
    assert compare(reference, other, thresholds=Thresholds(rounding=2)).verdict is Verdict.drift
    assert compare(reference, other, thresholds=Thresholds(0, 0, 0, 0, 0, 10, 0)).verdict is Verdict.broken


@pytest.mark.parametrize(
    "wrong", [{"rounding": -1}, {"few": float("nan")}, {"drift": 1e-2}, {"broken": 1e-5}]
)
def test_thresholds_without_order_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadRequest, match="threshold"):
        Thresholds(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "few"), [(0, 0), (9, 0), (10, 1), (99, 1), (100, 2), (442, 8)])
def test_a_few_rows_are_two_percent_and_one_at_least(rows: int, few: int) -> None:
    assert THRESHOLDS.few_rows(rows) == few


def test_a_difference_beyond_the_largest_float_is_still_measured() -> None:
    end = np.finfo("f8").max
    reference = np.array([[end, 0.0], [1.0, end]])
    other = np.array([[-end, 0.0], [1.0, end * (1 - 1.5e-5)]])
    diff = compare(reference, other)
    assert (diff.verdict, diff.relative, diff.worst, diff.max_abs) == (Verdict.broken, 2.0, (0, 0), np.inf)
    assert (diff.sulp, diff.rows_beyond, diff.smallest_margin) == (2 * (2.0**53 - 1), 2, end)
    assert diff.max_ulp == 2 * int(np.array(end).view("u8"))


def test_a_flip_among_the_smallest_floats_is_a_tie() -> None:
    tiny = np.finfo("f4").smallest_subnormal
    reference = np.array([[3, 2]] * 20, "f4") * tiny
    other = np.array([[3, 4]] * 20, "f4") * tiny
    diff = compare(reference, other)
    assert (diff.verdict, diff.flips, diff.tie_flips, diff.sulp) == (Verdict.drift, 20, 20, 2.0)


@pytest.mark.parametrize(
    ("margin", "step", "verdict", "ties"),
    [
        (1.5e-4, 0.8e-4, Verdict.drift, 1),  # at most twice drift's 1e-4 of the scale: a tie
        (1.9e-4, 0.97e-4, Verdict.drift, 1),
        (3e-4, 1.6e-4, Verdict.broken, 0),  # more than that: another answer
        (1.5e-3, 0.8e-3, Verdict.broken, 0),
    ],
)
def test_a_tie_is_within_twice_the_tolerance_of_drift(margin, step, verdict, ties) -> None:
    reference = np.tile(np.array([[1.0, 0.25]]), (100, 1))
    reference[40] = [0.5, 0.5 - margin]
    other = reference.copy()
    other[40] += [-step, step]
    diff = compare(reference, other)
    assert (diff.flips, diff.tie_flips, diff.verdict) == (1, ties, verdict)
