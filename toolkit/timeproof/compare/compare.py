"""The one comparison: arrays in, verdicts out. No IO here, and no framework.

Bytes first; where they differ, distances are measured and graded on the scale of verdict.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from timeproof.compare.difference import ArrayDiff, OutputsDiff
from timeproof.compare.distance import Pair, measure
from timeproof.compare.dtypes import aligned
from timeproof.compare.float_bits import FORMATS, Array, format_of
from timeproof.compare.verdict import THRESHOLDS, Thresholds, Verdict, worst
from timeproof.errors import BadRequest

__all__ = [
    "THRESHOLDS",
    "ArrayDiff",
    "OutputsDiff",
    "Thresholds",
    "Verdict",
    "compare",
    "compare_outputs",
    "worst",
]

_CHUNK = 1 << 18  # elements looked at in one go: about 30 MB of working memory


def compare(
    expected: Array,
    actual: Array,
    *,
    thresholds: Thresholds = THRESHOLDS,
    computed_in: str | None = None,
    scores: bool | None = None,
    chunk: int = _CHUNK,
) -> ArrayDiff:
    """Compare an output with its reference, and grade what differs.

    dtype (byte order too), shape and every byte in C order equal: `identical`. Floats and complex
    numbers of one shape are graded; strings, whole numbers, bools, dates and structured dtypes are
    equal or `broken`, and Python objects always `broken`. Only signed zeros or NaN payloads differ:
    `rounding`. Values in another dtype are compared as `dtypes.aligned` says, and never `identical`:
    equal ones are `rounding`, and the reason names both dtypes.

    A flip is another argmax along the last axis, where that axis holds class scores (`scores`). It is a
    tie where the reference's top two are no further apart than twice what `drift` lets each of them
    move. (Twice the largest difference found would excuse every flip there is: the winner can't change
    unless the two differences together reach the margin.) A row whose reference values are all equal
    has no winner: there is neither flip nor tie.

    Memory: a bounded multiple of `chunk` elements, or of the last axis where that is longer; an
    array that is not C-contiguous, or of another dtype, is copied once.

    Args:
        computed_in: a name in bits.FORMATS, where the values were made in a narrower format than
            the array's own, such as float32 predictions in a float64 array.
        scores: whether the last axis holds class scores. None: an array of two dimensions and at most
            `measure.SCORE_COLUMNS` columns is taken to hold them, and no other.
        chunk: elements looked at in one go; the result does not depend on it.

    Raises:
        BadRequest: `computed_in` names no format. Nothing for any two NumPy arrays.
    """
    if computed_in is not None and computed_in not in FORMATS:
        raise BadRequest(f"{computed_in!r} is none of {', '.join(FORMATS)}")
    expected, actual = np.asarray(expected), np.asarray(actual)
    facts: dict[str, Any] = {
        "dtype": _named(expected.dtype),
        "shape": expected.shape,
        "actual_dtype": _named(actual.dtype),
        "actual_shape": actual.shape,
    }
    if expected.shape != actual.shape:
        why = f"the shape is {list(actual.shape)}, not {list(expected.shape)}"
        return ArrayDiff(Verdict.broken, why, **facts)
    if expected.dtype == actual.dtype:
        return _graded(expected, actual, facts, thresholds, computed_in, scores, chunk)
    dtypes = f"the dtype is {facts['actual_dtype']}, not {facts['dtype']}"
    both = aligned(expected, actual)
    if both is None:
        return ArrayDiff(Verdict.broken, dtypes, **facts)
    diff = _graded(both.expected, both.actual, facts, thresholds, computed_in, scores, chunk)
    why = " ".join(["equal in value", both.note]).strip() if not diff.differing else diff.reason
    return replace(diff, verdict=max(diff.verdict, Verdict.rounding), reason=f"{why}; {dtypes}")


def _graded(
    expected: Array,
    actual: Array,
    facts: Mapping[str, Any],
    thresholds: Thresholds,
    computed_in: str | None,
    scores: bool | None,
    chunk: int,
) -> ArrayDiff:
    """Compare two arrays of one dtype and shape; `facts` is what is told of both in any case."""
    pair = Pair.of(expected, actual, chunk)
    first, count = pair.differing()
    if count == 0:
        why = f"every byte equal, {facts['dtype']} {list(expected.shape)}"
        return ArrayDiff(Verdict.identical, why, **facts, differing=0)
    facts = {**facts, "differing": count}
    form = format_of(expected.dtype)
    if form is None:
        objects = expected.dtype.hasobject
        why = "Python objects can't be compared" if objects else f"{count} elements differ, and have no scale"
        return ArrayDiff(Verdict.broken, why, **facts, worst=pair.index(first))
    if computed_in is not None and FORMATS[computed_in].fraction < form.fraction:
        form = FORMATS[computed_in]
    with np.errstate(all="ignore"):  # signalling NaNs in casts, distances beyond the largest float
        measured = measure(pair, form, thresholds, scores)
        verdict, why = measured.grade(thresholds)
        return ArrayDiff(verdict, why, **facts, **measured.facts(pair, first), row_limit=thresholds.row)


def compare_outputs(
    expected: Mapping[str, Array],
    actual: Mapping[str, Array],
    *,
    thresholds: Thresholds = THRESHOLDS,
    computed_in: Mapping[str, str] | None = None,
    scores: Mapping[str, bool] | None = None,
) -> OutputsDiff:
    """Compare all outputs of one artifact by name; a name on one side only is `broken`.

    No outputs at all are `broken` too: nothing was proven.

    Args:
        computed_in, scores: as of `compare`, by the output's name.
    """
    made_in, ranked = computed_in or {}, scores or {}
    return OutputsDiff(
        {
            name: compare(
                array,
                actual[name],
                thresholds=thresholds,
                computed_in=made_in.get(name),
                scores=ranked.get(name),
            )
            for name, array in expected.items()
            if name in actual
        },
        missing=tuple(name for name in expected if name not in actual),
        extra=tuple(name for name in actual if name not in expected),
    )


def _named(dtype: np.dtype[Any]) -> str:
    text = str(dtype)
    return text if len(text) <= 200 else text[:199] + "…"
