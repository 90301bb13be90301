"""How far two arrays of one dtype and shape are apart, and which verdict that is. No IO here.

Works through both in chunks, in C order: what it finds does not depend on their size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from timeproof.compare.float_bits import FLOAT32, Array, Format, differing, steps
from timeproof.compare.verdict import Thresholds, Verdict

# Columns of a two-dimensional output that nothing is known of: up to here they are taken for class scores.
# Common sets of classes have 2 to 100; embeddings have 128 and more. A classifier of 1,000 classes says so
# itself (Softmax, `--scores`), and where it doesn't, a difference is graded by its size alone.
SCORE_COLUMNS = 100
# What ONNX's own tests let an element differ by (onnx/backend/test/case/node/__init__.py). No verdict depends
# on it.
_ONNX_RELATIVE, _ONNX_ABSOLUTE = 1e-3, 1e-7
_FIRST = 5  # row numbers that are kept
# The histogram of |difference| in sULP: [0] counts what is equal in value, [1] what is below 2^-8, and
# [k] what lies from 2^(k-10) up to, not including, 2^(k-9). The last one has no upper end.
_LEAST, _BINS = -8, 65


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arrays of one dtype and shape, as `[vectors, last axis]` in C order."""

    expected: Array
    actual: Array
    shape: tuple[int, ...]
    step: int  # vectors in a chunk

    @classmethod
    def of(cls, expected: Array, actual: Array, chunk: int) -> Pair:
        shape = expected.shape
        last = shape[-1] if len(shape) > 1 else 1
        layout = (max(expected.size // last, 0) if last else 0, last)
        reference = np.ascontiguousarray(expected).reshape(layout)
        other = np.ascontiguousarray(actual).reshape(layout)
        return cls(reference, other, shape, max(1, chunk // max(1, last)))

    @property
    def rows(self) -> int:
        return self.shape[0] if self.shape else 1

    def ranked(self, scores: bool | None) -> bool:
        """Whether an argmax along the last axis means something. `scores`: what is known; None: nothing."""
        if len(self.shape) < 2 or self.shape[-1] < 2 or self.expected.dtype.kind == "c":
            return False
        if scores is not None:
            return scores
        return len(self.shape) == 2 and self.shape[-1] <= SCORE_COLUMNS

    @property
    def vectors(self) -> int:
        return len(self.expected)

    def spans(self) -> list[slice]:
        return [slice(at, at + self.step) for at in range(0, self.vectors, self.step)]

    def index(self, flat: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unravel_index(flat, self.shape)) if self.shape else ()

    def differing(self) -> tuple[int, int]:
        """The first element whose bytes differ, as a flat index (-1 for none), and how many do."""
        first, count = -1, 0
        for span in self.spans():
            mask = differing(self.expected[span], self.actual[span])
            if changed := int(np.count_nonzero(mask)):
                if first < 0:
                    first = span.start * self.expected.shape[1] + int(mask.argmax())
                count += changed
        return first, count

    def parts(self, span: slice) -> tuple[Array, Array]:
        """Native floats of both sides; complex numbers as two neighbours each."""
        sides = []
        for side in (self.expected[span], self.actual[span]):
            native = side if side.dtype.isnative else side.astype(side.dtype.newbyteorder("="))
            sides.append(native.view(native.real.dtype) if side.dtype.kind == "c" else native)
        return sides[0], sides[1]


@dataclass(slots=True)
class _Rows:
    """Counts rows as their vectors pass by in order; a row may be spread over many chunks."""

    count: int = 0
    first: list[int] = field(default_factory=list)
    _last: int = -1

    def add(self, rows: Array) -> None:
        new = np.unique(rows[rows > self._last])
        if new.size:
            self.count += int(new.size)
            self.first += [int(r) for r in new[: _FIRST - len(self.first)]]
            self._last = int(new[-1])


@dataclass(slots=True)
class Measured:
    """What a pass over both arrays gathers. Distances are in `wide`, float64 or wider."""

    form: Format
    rows: int
    scale: Any
    half: Any  # 1, or 1/2 where a difference could overflow: every distance is kept times this
    ranked: bool  # whether the last axis holds class scores
    max_abs: Any = 0.0
    at: int = -1
    max_ulp: int | None = 0
    beyond: _Rows = field(default_factory=_Rows)
    off: _Rows = field(default_factory=_Rows)
    beyond_onnx: int = 0
    nan_moved: int = 0
    inf_moved: int = 0
    nan_payloads: int = 0
    signed_zeros: int = 0
    flips: int = 0
    tie_flips: int = 0
    margin: Any = np.inf
    bins: Array = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    @property
    def relative(self) -> float:
        if self.max_abs == 0:
            return 0.0
        return float(self.max_abs / (self.scale * self.half)) if self.scale else float("inf")

    def rounding(self, thresholds: Thresholds) -> Any:
        """The largest distance that is rounding; 16-bit formats add up in float32."""
        form = self.form if self.form.fraction >= FLOAT32.fraction else FLOAT32
        return form.ulp(self.scale) * self.half * thresholds.rounding

    def tolerance(self, thresholds: Thresholds) -> Any:
        """The largest distance that is drift."""
        narrow = self.form.fraction < FLOAT32.fraction
        drift = thresholds.drift_16bit if narrow else thresholds.drift
        return max(self.scale * self.half * drift, self.rounding(thresholds))

    def grade(self, thresholds: Thresholds) -> tuple[Verdict, str]:
        """Give the best verdict whose rule holds, and why none is better.

        A perturbation that grows never leaves one rule for a better one. Between drift and broken,
        where all rows move a little too far for the one and not far enough for the other, the scale
        has a gap: it belongs to `outliers`, the only grade between them.
        """
        if self.nan_moved or self.inf_moved:
            moved = f"{self.nan_moved} NaN and {self.inf_moved} infinities moved"
            return Verdict.broken, moved
        if self.flips > self.tie_flips:
            return Verdict.broken, f"{self.flips - self.tie_flips} flips that are no ties"
        if self.max_abs == 0:
            kinds = f"{self.signed_zeros} signed zeros and {self.nan_payloads} NaN payloads"
            return Verdict.rounding, f"equal in value; {kinds} differ"
        if self.max_abs <= self.rounding(thresholds):
            if not self.flips:
                return Verdict.rounding, f"at most {thresholds.rounding:g} sULP of rounding"
            return Verdict.drift, f"rounding, and {self.flips} flips at ties"
        if self.max_abs <= self.tolerance(thresholds):
            return Verdict.drift, f"{self.relative:.2g} of the scale"
        few = thresholds.few_rows(self.rows)
        if self.off.count <= few:
            return Verdict.outliers, f"{self.off.count} of {self.rows} rows are off, the rest is rounding"
        if self.relative <= thresholds.broken:
            return Verdict.outliers, f"{self.relative:.2g} of the scale: more than drift, less than broken"
        return Verdict.broken, f"{self.relative:.2g} of the scale, in {self.off.count} of {self.rows} rows"

    def facts(self, pair: Pair, first: int) -> dict[str, Any]:
        width = 2 if pair.expected.dtype.kind == "c" else 1
        return {
            "worst": pair.index(self.at // width if self.at >= 0 else first),
            "max_abs": float(self.max_abs / self.half),
            "scale": float(self.scale),
            "relative": self.relative,
            "sulp": float(self.max_abs / (self.form.ulp(self.scale) * self.half)),
            "max_ulp": self.max_ulp,
            "rows": self.rows,
            "rows_beyond": self.beyond.count,
            "first_rows_beyond": tuple(self.beyond.first),
            "rows_off": self.off.count,
            "beyond_onnx": self.beyond_onnx + self.nan_moved + self.inf_moved,
            "nan_moved": self.nan_moved,
            "inf_moved": self.inf_moved,
            "nan_payloads": self.nan_payloads,
            "signed_zeros": self.signed_zeros,
            "flips": self.flips if self.ranked else None,
            "tie_flips": self.tie_flips if self.ranked else None,
            "smallest_margin": float(self.margin) if self.ranked and self.margin < np.inf else None,
            "histogram": tuple(int(n) for n in np.trim_zeros(self.bins, "b")),
        }

    def count(self, apart: Array, finite: Array) -> None:
        """Add distances to the histogram. Exponents are exact: no distance is near the edge of a bin."""
        far = apart[apart > 0]
        self.bins[0] += int(np.count_nonzero(finite)) - far.size
        _, exponents = np.frexp(far)
        _, unit = np.frexp(self.form.ulp(self.scale) * self.half)
        places = np.clip(exponents - unit, _LEAST - 1, _BINS - 3 + _LEAST) + (2 - _LEAST)
        self.bins += np.bincount(places, minlength=_BINS)


def measure(pair: Pair, form: Format, thresholds: Thresholds, scores: bool | None = None) -> Measured:
    """Go through both arrays and gather what differs; `scores` is that of `compare`."""
    wide = (
        np.longdouble if pair.expected.dtype.itemsize > 16 or pair.expected.dtype.char in "gG" else np.float64
    )
    scale = top = wide(0)
    for span in pair.spans():
        expected, actual = (np.abs(side.astype(wide)) for side in pair.parts(span))
        scale = max(scale, np.where(np.isfinite(expected), expected, 0).max(initial=0))
        top = max(top, np.where(np.isfinite(actual), actual, 0).max(initial=0))
    half = wide(1) if np.isfinite(scale + top) else wide(0.5)
    measured = Measured(form, pair.rows, scale, half, pair.ranked(scores), max_abs=wide(0))
    for span in pair.spans():
        _chunk(measured, pair, span, wide, thresholds)
    return measured


def _chunk(measured: Measured, pair: Pair, span: slice, wide: Any, thresholds: Thresholds) -> None:
    raw_expected, raw_actual = pair.parts(span)
    expected, actual = raw_expected.astype(wide), raw_actual.astype(wide)
    changed = differing(raw_expected, raw_actual)
    finite = np.isfinite(expected) & np.isfinite(actual)
    nan_expected, nan_actual = np.isnan(expected), np.isnan(actual)
    measured.nan_moved += int(np.count_nonzero(nan_expected ^ nan_actual))
    measured.nan_payloads += int(np.count_nonzero(changed & nan_expected & nan_actual))
    measured.inf_moved += int(np.count_nonzero(~finite & ~nan_expected & ~nan_actual & (expected != actual)))
    measured.signed_zeros += int(np.count_nonzero(changed & finite & (expected == actual)))

    apart = np.where(finite, np.abs(expected * measured.half - actual * measured.half), 0)
    at = int(apart.argmax())
    if apart.flat[at] > measured.max_abs:
        measured.max_abs = apart.flat[at]
        measured.at = span.start * expected.shape[1] + at
    let = (np.abs(expected) * _ONNX_RELATIVE + _ONNX_ABSOLUTE) * measured.half
    measured.beyond_onnx += int(np.count_nonzero(apart > let))
    measured.count(apart, finite)
    stepped = steps(raw_expected, raw_actual)
    if stepped is None or measured.max_ulp is None:
        measured.max_ulp = None
    else:
        measured.max_ulp = max(measured.max_ulp, int(np.where(finite, stepped, 0).max(initial=0)))

    rows = np.arange(span.start, span.start + len(expected)) // (pair.vectors // pair.rows)
    farthest = apart.max(axis=1)
    measured.beyond.add(rows[farthest > measured.scale * measured.half * thresholds.row])
    measured.off.add(rows[farthest > measured.rounding(thresholds)])
    if measured.ranked:
        _rank(measured, expected, actual, thresholds)


def _rank(measured: Measured, expected: Array, actual: Array, thresholds: Thresholds) -> None:
    """Count other winners along the last axis. NaNs never win; where all values are one, none does."""
    missing = np.isnan(expected)
    lowest = np.where(missing, np.inf, expected).min(axis=1)
    expected, actual = (np.where(np.isnan(side), -np.inf, side) for side in (expected, actual))
    contested = (np.count_nonzero(~missing, axis=1) > 1) & (lowest < expected.max(axis=1))
    expected, actual = expected[contested], actual[contested]
    if not len(expected):
        return
    best = np.partition(expected, -2, axis=1)[:, -2:] * measured.half
    margins = np.where(best[:, 1] == best[:, 0], 0, best[:, 1] - best[:, 0])
    flipped = expected.argmax(axis=1) != actual.argmax(axis=1)
    measured.flips += int(np.count_nonzero(flipped))
    measured.tie_flips += int(np.count_nonzero(margins[flipped] <= 2 * measured.tolerance(thresholds)))
    measured.margin = min(measured.margin, margins.min() / measured.half)
