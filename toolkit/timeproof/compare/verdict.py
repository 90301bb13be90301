"""What a comparison, or a run that gave nothing to compare, found. No IO, and no arrays either.

The scale and its figures are those of docs/numerics.md, in one place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from timeproof.errors import BadRequest


class Verdict(StrEnum):
    """A finding, in order of badness: `max()` of several is the verdict of them all.

    The first five grade outputs; the rest say why there are none to grade. `not_applicable` stands
    below all: it says nothing of an artifact, and hides nothing that another finding says.
    """

    not_applicable = "not_applicable"  # this environment has no such framework
    identical = "identical"  # every byte equal
    rounding = "rounding"  # the last bits
    drift = "drift"  # more than the last bits, and still the same answer
    outliers = "outliers"  # a few rows are off, or all a little more than drift
    broken = "broken"  # another answer
    refused = "refused"  # the framework would not load or run it
    crashed = "crashed"  # the process ended by a signal or an error of its own
    timeout = "timeout"
    out_of_memory = "out_of_memory"
    too_large = "too_large"  # more output than was declared
    nondeterministic = "nondeterministic"  # two runs of one thing disagree
    altered = "altered"  # the archived bytes are not those that were recorded: nothing was run
    lost = "lost"  # nobody knows: the machine or the engine went away

    @property
    def severity(self) -> int:
        """Its place in the order of badness, `identical` being 0."""
        return _ORDER[self]

    @property
    def graded(self) -> bool:
        """True where outputs were compared, from `identical` to `broken`."""
        return Verdict.identical <= self <= Verdict.broken

    def allowed_by(self, allowed: Verdict) -> bool:
        """True where a caller who puts up with `allowed` puts up with this.

        `identical` always passes. What is not graded never does, whatever is allowed.
        """
        return self is Verdict.identical or (self.graded and allowed.graded and self <= allowed)

    # Strings would compare by spelling, which is not the order meant.
    def __lt__(self, other: str) -> bool:
        return self.severity < Verdict(other).severity

    def __le__(self, other: str) -> bool:
        return self.severity <= Verdict(other).severity

    def __gt__(self, other: str) -> bool:
        return self.severity > Verdict(other).severity

    def __ge__(self, other: str) -> bool:
        return self.severity >= Verdict(other).severity


_ORDER = {verdict: place - 1 for place, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Give the worst of `verdicts`, and `broken` where there are none: nothing was proven."""
    return max(verdicts, default=Verdict.broken)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where one verdict ends and the next begins. Measured on Zen 4; see docs/numerics.md.

    `scale` is the largest finite |reference|; sULP is the largest |difference| in units in the last
    place of `scale`. float16 and bfloat16 add up in float32, and one step of theirs is 1e-3 or 8e-3
    of the scale, so there `rounding` counts float32's steps, and `drift_16bit` stands for `drift`.
    `few` and `few_of` are ours: 5 of 442 rows were measured.

    Raises: BadRequest: a figure is negative or NaN, or `drift` goes beyond `broken`.
    """

    rounding: float = 32.0  # sULP: every CPU, batch, alignment and version effect on nets was <= 28
    drift: float = 1e-4  # × scale: a 300,000-element reduction was 283 sULP, 3.4e-5
    drift_16bit: float = 1e-3  # × scale: bfloat16 was 6e-4
    row: float = 1e-5  # × scale: from here on a row is reported as off
    few: float = 0.02  # fraction of the rows that may be more than rounding, and one at least
    few_of: float = 10  # rows: among fewer, no row is an exception to the rest
    broken: float = 1e-3  # × scale: beyond, all rows taken together are another answer

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if math.isnan(value) or value < 0:
                raise BadRequest(f"the threshold {field.name} is {value}, and must be 0 or more")
        if max(self.drift, self.drift_16bit) > self.broken:
            raise BadRequest("the thresholds for drift go beyond the one for broken")

    @classmethod
    def of(cls, figures: Mapping[str, float]) -> Thresholds:
        """The toolkit's own, but for `figures`. Raises BadRequest."""
        names = [field.name for field in fields(cls)]
        for name, value in figures.items():
            if name not in names:
                raise BadRequest(
                    f"there is no threshold {name!r}",
                    advice=f"there are: {', '.join(names)} (docs/numerics.md)",
                )
            if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isinf(value):
                raise BadRequest(f"the threshold {name} is {value!r}, and must be a number")
        return replace(cls(), **figures)

    def few_rows(self, rows: int) -> int:
        """How many of `rows` may be off while the rest is still what counts."""
        return max(1, math.floor(self.few * rows)) if rows >= self.few_of else 0


THRESHOLDS = Thresholds()
