"""What was measured between expected and actual outputs: values, their JSON and one line for people.

No IO here; compare.py makes these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TypeAlias

from timeproof.base.limits import LIMITS
from timeproof.compare.verdict import Verdict, worst

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def plain(value: object) -> Json:
    """Spell `value` in strict JSON: "NaN" and "Infinity" as strings, large integers as floats."""
    if isinstance(value, str):
        return str(value).encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LIMITS.integer else float(value)
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    raise TypeError(f"{type(value).__name__} has no spelling in JSON")


@dataclass(frozen=True, slots=True)
class ArrayDiff:
    """One output against its reference. None stands where there was nothing to measure.

    Distances are over the elements that are finite on both sides; complex numbers are measured as
    their two parts. Indices are those of the array as it was given.
    """

    verdict: Verdict
    reason: str  # the one fact that decided
    dtype: str
    shape: tuple[int, ...]
    actual_dtype: str
    actual_shape: tuple[int, ...]
    differing: int | None = None  # elements whose bytes differ
    worst: tuple[int, ...] | None = None  # the farthest element; where none is measured, the first
    max_abs: float | None = None
    scale: float | None = None  # the largest finite |reference|
    relative: float | None = None  # max_abs / scale; infinite where the scale is 0
    sulp: float | None = None  # max_abs in units in the last place of the scale
    max_ulp: int | None = None  # the most representable steps between two elements
    rows: int | None = None  # along the first axis
    row_limit: float | None = None  # × scale: from here on a row counts as beyond
    rows_beyond: int | None = None  # rows with a difference > row_limit × scale
    first_rows_beyond: tuple[int, ...] = ()
    rows_off: int | None = None  # rows with more than rounding
    beyond_onnx: int | None = (
        None  # elements farther off than ONNX's own tests allow: 1e-7 + 1e-3 × |reference|
    )
    nan_moved: int | None = None  # elements that are NaN on one side only
    inf_moved: int | None = None  # elements infinite on one side only, or of the other sign
    nan_payloads: int | None = None  # NaN on both sides, of different bits
    signed_zeros: int | None = None  # 0.0 on one side, -0.0 on the other
    flips: int | None = None  # other argmax along the last axis, of class scores; ties among them
    tie_flips: int | None = None
    smallest_margin: float | None = None  # between the reference's top two along the last axis
    # Elements by |difference| in sULP: [0] equal in value, [1] below 2^-8, [k] from 2^(k-10) up to 2^(k-9).
    # 65 bins at most, the last without an upper end; zeros at the end are left out.
    histogram: tuple[int, ...] | None = None

    @property
    def elements(self) -> int:
        """How many elements the reference has."""
        return math.prod(self.shape)

    @property
    def fraction(self) -> float | None:
        """The share of elements whose bytes differ, from 0 to 1."""
        if self.differing is None:
            return None
        return self.differing / self.elements if self.elements else 0.0

    def to_json(self) -> dict[str, Json]:
        """Give everything measured, as strict JSON."""
        figures = {field.name: plain(getattr(self, field.name)) for field in fields(self)}
        return figures | {"elements": self.elements, "fraction": plain(self.fraction)}

    def summary(self) -> str:
        """Say it in one line, without the verdict's name."""
        if self.verdict is Verdict.identical or not self.differing:
            return str(plain(self.reason))
        if self.sulp is None or self.max_abs is None:
            differ = f"{self.differing} of {self.elements} elements differ, first at {self._where()}"
            return differ + self._dtypes()
        if not (self.max_abs or self.nan_moved or self.inf_moved):
            return self.reason
        parts = []
        if self.nan_moved:
            parts.append(f"{self.nan_moved} NaN moved")
        if self.inf_moved:
            parts.append(f"{self.inf_moved} infinities moved")
        if self.max_abs:
            parts.append(f"differs by {self.sulp:.3g} sULP (max |Δ| {self.max_abs:.2g} at {self._where()})")
        if self.flips is not None:
            ties = f" ({self.tie_flips} at ties)" if self.tie_flips else ""
            parts.append(f"{self.flips} flip{'' if self.flips == 1 else 's'}{ties}")
        if self.rows_beyond:
            parts.append(f"{self.rows_beyond} of {self.rows} rows beyond {self.row_limit:g} × scale")
        return ", ".join(parts) + self._dtypes()

    def _dtypes(self) -> str:
        """Name both dtypes where they are not one."""
        return (
            f"; the dtype is {self.actual_dtype}, not {self.dtype}" if self.dtype != self.actual_dtype else ""
        )

    def _where(self) -> str:
        return str(list(self.worst or ()))


@dataclass(frozen=True, slots=True)
class OutputsDiff:
    """All outputs of one artifact against their references, by name."""

    arrays: dict[str, ArrayDiff]
    missing: tuple[str, ...] = ()  # expected, and not given
    extra: tuple[str, ...] = ()  # given, and not expected

    @property
    def verdict(self) -> Verdict:
        """The worst of all; `broken` where a name is missing or extra, or nothing was compared."""
        if self.missing or self.extra:
            return Verdict.broken
        return worst(diff.verdict for diff in self.arrays.values())

    @property
    def sulp(self) -> float | None:
        """The largest of all; None where nothing was measured."""
        return max((d.sulp for d in self.arrays.values() if d.sulp is not None), default=None)

    def to_json(self) -> dict[str, Json]:
        """Give everything measured, as strict JSON."""
        return {
            "verdict": str(self.verdict),
            "summary": self.summary(),
            "outputs": {str(plain(name)): diff.to_json() for name, diff in self.arrays.items()},
            "missing": plain(self.missing),
            "extra": plain(self.extra),
        }

    def summary(self) -> str:
        """Say it in one line, without the verdict's name."""
        parts = [f"output {name!r} is missing" for name in self.missing]
        parts += [f"output {name!r} was not expected" for name in self.extra]
        bad = {n: d for n, d in self.arrays.items() if d.verdict is not Verdict.identical}
        if len(self.arrays) == 1:
            parts += [d.summary() for d in self.arrays.values()]
        elif bad:
            name = max(bad, key=lambda n: bad[n].verdict)
            parts.append(f"{len(bad)} of {len(self.arrays)} outputs differ; {name!r}: {bad[name].summary()}")
        elif self.arrays:
            parts.append(f"{len(self.arrays)} outputs, every byte equal")
        return str(plain("; ".join(parts) or "no outputs: nothing was proven"))
