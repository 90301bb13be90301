"""Verdicts, their order, and how differences are told: all outputs together, JSON, one line."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from timeproof.base import strictjson
from timeproof.compare.compare import OutputsDiff, Verdict, compare, compare_outputs, worst

GRADED = [Verdict.identical, Verdict.rounding, Verdict.drift, Verdict.outliers, Verdict.broken]
UNGRADED = [v for v in Verdict if v not in GRADED]


def test_the_worst_of_several_is_by_badness_and_not_by_spelling() -> None:
    assert max(Verdict.identical, Verdict.broken) is Verdict.broken  # as strings: identical
    assert sorted(Verdict, key=str) != sorted(Verdict) == list(Verdict)
    assert worst(GRADED) is Verdict.broken
    assert worst([Verdict.broken, Verdict.crashed]) is Verdict.crashed
    assert worst([Verdict.not_applicable, Verdict.identical]) is Verdict.identical


def test_the_worst_of_nothing_is_broken() -> None:
    assert worst([]) is Verdict.broken


@pytest.mark.parametrize(("one", "two"), list(itertools.product(Verdict, Verdict)))
def test_the_order_is_total(one: Verdict, two: Verdict) -> None:
    assert (one < two) + (one == two) + (one > two) == 1
    assert (one <= two) == (two >= one) == (one < two or one == two)


@pytest.mark.parametrize(("found", "allowed"), list(itertools.product(GRADED, GRADED)))
def test_what_is_no_worse_than_allowed_passes(found: Verdict, allowed: Verdict) -> None:
    assert found.allowed_by(allowed) == (GRADED.index(found) <= GRADED.index(allowed))


@pytest.mark.parametrize("found", UNGRADED)
def test_what_gave_no_outputs_never_passes(found: Verdict) -> None:
    assert not any(found.allowed_by(allowed) for allowed in Verdict)


@pytest.mark.parametrize("allowed", list(Verdict))
def test_identical_always_passes(allowed: Verdict) -> None:
    assert Verdict.identical.allowed_by(allowed)


def test_a_verdict_is_its_own_name() -> None:
    assert all(str(v) == v.name == Verdict(v.value) for v in Verdict)


def test_all_outputs_together_are_as_bad_as_the_worst() -> None:
    array = np.linspace(0.5, 1, 20, dtype="f4")
    near, far = array - np.float32(2.0**-22), array * 2
    diff = compare_outputs({"a": array, "b": array, "c": array}, {"c": far, "b": near, "a": array})
    assert diff.verdict is Verdict.broken
    assert [d.verdict for d in diff.arrays.values()] == [Verdict.identical, Verdict.rounding, Verdict.broken]
    assert diff.summary().startswith(
        "2 of 3 outputs differ; 'c': differs by 8.39e+06 sULP (max |Δ| 1 at [19])"
    )


def test_missing_and_unexpected_outputs_are_broken_and_named() -> None:
    array = np.ones(2)
    diff = compare_outputs({"a": array, "b": array}, {"a": array, "z": array})
    assert (diff.verdict, diff.missing, diff.extra) == (Verdict.broken, ("b",), ("z",))
    assert "output 'b' is missing; output 'z' was not expected" in diff.summary()


def test_no_outputs_prove_nothing() -> None:
    diff = compare_outputs({}, {})
    assert diff.verdict is Verdict.broken
    assert diff.summary() == "no outputs: nothing was proven"


def test_identical_outputs_say_so() -> None:
    array = np.ones((97, 10), "f4")
    assert compare_outputs({"a": array}, {"a": array}).summary() == "every byte equal, float32 [97, 10]"
    assert compare_outputs({"a": array, "b": array}, {"a": array, "b": array}).summary() == (
        "2 outputs, every byte equal"
    )


def test_one_line_says_how_far_and_where() -> None:
    reference = np.tile(np.linspace(0, 1, 10, dtype="f4"), (97, 1))
    other = reference.copy()
    other[12, 3] += np.float32(4 * 2.0**-23)
    assert compare(reference, other).summary() == "differs by 4 sULP (max |Δ| 4.8e-07 at [12, 3]), 0 flips"


def test_a_tie_is_told_apart_in_the_one_line() -> None:
    reference = np.tile(np.array([0.5, 0.5, 0.25], "f4"), (97, 1))
    other = reference.copy()
    other[3, 1] += np.float32(2.0**-24)
    assert compare(reference, other).summary().endswith("1 flip (1 at ties)")


def test_onnx_s_own_tolerance_is_counted_beside_the_verdict() -> None:
    reference = np.array([1.0, 1.0, 1e-8, np.nan], "f4")
    other = np.array([1.002, 1.0005, 9e-8, 1.0], "f4")
    diff = compare(reference, other)
    assert diff.beyond_onnx == 2
    assert diff.to_json()["beyond_onnx"] == 2
    end = np.finfo("f8").max
    assert compare(np.array([end, 1.0]), np.array([end * 0.9999, 1.0])).beyond_onnx == 0
    assert compare(np.array([end, 1.0]), np.array([-end, 1.0])).beyond_onnx == 1


def odd_outputs() -> OutputsDiff:
    end, odd = np.finfo("f8").max, "\ud800"
    return compare_outputs(
        {"far": np.array([end, 1]), "zero": np.zeros(2), odd: np.zeros(2, "f8"), "gone": np.ones(1)},
        {"far": np.array([-end, 1]), "zero": np.ones(2), odd: np.full(2, np.nan), odd + "x": np.ones(1)},
    )


def test_the_report_is_strict_json_whatever_was_found() -> None:
    report = odd_outputs().to_json()
    again = strictjson.loads(strictjson.dumps(report), "report")
    assert again == json.loads(json.dumps(report))
    assert again["outputs"]["far"]["max_abs"] == "Infinity"
    assert again["outputs"]["zero"]["relative"] == "Infinity"
    assert again["outputs"]["far"]["max_ulp"] > 2**53
    assert again["missing"] == ["gone"]


def test_the_report_can_be_printed_whatever_the_names() -> None:
    assert odd_outputs().summary().encode("utf-8")


def test_field_names_of_a_structured_output_are_told_in_bounds() -> None:
    wide = np.dtype([(f"\udc80{i}", "f4") for i in range(1000)])
    report = compare(np.zeros(2, wide), np.ones(2, wide)).to_json()
    assert strictjson.dumps(report)
    assert len(str(report["dtype"])) < 400
