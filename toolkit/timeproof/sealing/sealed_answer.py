"""The answer that is sealed, and how other answers are graded against it. No IO here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from timeproof.compare.compare import compare_outputs
from timeproof.compare.difference import OutputsDiff
from timeproof.compare.verdict import THRESHOLDS, Thresholds
from timeproof.store.reference import Array
from timeproof.store.schema.records import Distance


@dataclass(frozen=True, slots=True)
class SealedAnswer:
    """The outputs on which the seal's runs agree, and the artifact's own figures for grading others."""

    outputs: Mapping[str, Array]
    thresholds: Thresholds = THRESHOLDS
    scores: Mapping[str, bool] = field(default_factory=dict)  # output → whether it holds class scores

    def compare(self, actual: Mapping[str, Array]) -> OutputsDiff:
        """Say how far other outputs are from these."""
        return compare_outputs(self.outputs, actual, thresholds=self.thresholds, scores=self.scores)

    def compare_from(self, expected: Mapping[str, Array], actual: Mapping[str, Array]) -> OutputsDiff:
        """Say how far `actual` is from `expected`, graded by the same figures."""
        return compare_outputs(expected, actual, thresholds=self.thresholds, scores=self.scores)


def distance_of(difference: OutputsDiff) -> Distance:
    """The record of a difference, as metadata keeps it."""
    return Distance.model_validate(difference.to_json())
