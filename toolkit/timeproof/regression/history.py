"""Where in a framework's history an artifact's answer changed. Values in, words out; no IO here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from timeproof.compare.verdict import Verdict
from timeproof.frameworks.registry import title_of
from timeproof.regression.plan import version_key
from timeproof.regression.report import Cell, Report, ReportedArtifact, ReportedEnvironment

_PHRASES = {
    Verdict.identical: "identical",
    Verdict.rounding: "rounding differs",
    Verdict.drift: "drifts",
    Verdict.outliers: "a few rows are off",
    Verdict.broken: "answers otherwise",
    Verdict.refused: "refused",
    Verdict.crashed: "crashes",
    Verdict.timeout: "does not end",
    Verdict.out_of_memory: "runs out of memory",
    Verdict.too_large: "gives too much",
    Verdict.nondeterministic: "two runs disagree",
    Verdict.altered: "altered",
    Verdict.lost: "unknown",
}


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring versions of a framework that have one verdict."""

    verdict: Verdict
    versions: tuple[str, ...]  # ascending, at least one


def spans(verdicts: Iterable[tuple[str, Verdict]]) -> list[Span]:
    """Group (version, verdict) pairs into spans, by ascending version.

    Of several environments with one version the worst verdict counts: the model breaks in one of them.
    """
    worst: dict[str, Verdict] = {}
    for version, verdict in verdicts:
        worst[version] = max(verdict, worst.get(version, Verdict.not_applicable))
    ordered = sorted(worst.items(), key=lambda item: (version_key(item[0]), item[0]))
    return [
        Span(verdict, tuple(version for version, _ in group))
        for verdict, group in groupby(ordered, key=lambda item: item[1])
    ]


def sentence(framework: str, history: Sequence[Span]) -> str:
    """Say it: "identical up to LightGBM 3.3.5, refused by 4.0.0, identical again from 4.7.0"."""
    before: set[Verdict] = set()
    parts = []
    for place, span in enumerate(history):
        label = f"{title_of(framework)} " if place == 0 else ""
        versions = _versions_phrase(span, label, is_first=place == 0, is_last=place == len(history) - 1)
        again = " again" if span.verdict in before else ""
        parts.append(f"{_PHRASES[span.verdict]}{again} {versions}")
        before.add(span.verdict)
    return ", ".join(parts)


def _versions_phrase(span: Span, label: str, *, is_first: bool, is_last: bool) -> str:
    """Say which versions a span has: "up to 3.3.5", "by 4.0.0", "from 4.1.0 to 4.3.0".

    Args:
        label: the framework's name and a blank, before the first version.
        is_first, is_last: the span's place in the history; a span that is both is all of it.
    """
    first, last = span.versions[0], span.versions[-1]
    if first == last:
        return f"{'by' if span.verdict is Verdict.refused else 'in'} {label}{first}"
    if is_first and not is_last:
        return f"up to {label}{last}"
    if is_last and not is_first:
        return f"from {first}"
    return f"from {label}{first} to {last}"


def history_of(
    artifact: ReportedArtifact, cells: Iterable[Cell], environments: dict[str, ReportedEnvironment]
) -> str:
    """The sentence for one artifact, from all its cells."""
    verdicts = [
        (environments[c.environment].frameworks[artifact.framework], c.verdict)
        for c in cells
        if artifact.framework in environments[c.environment].frameworks
    ]
    return sentence(artifact.framework, spans(verdicts))


def with_histories(report: Report) -> Report:
    """Fill in each artifact's history."""
    environments = {e.name: e for e in report.environments}
    rows: dict[str, list[Cell]] = {}
    for cell in report.cells:
        rows.setdefault(cell.artifact, []).append(cell)
    artifacts = [
        a.model_copy(update={"history": history_of(a, rows.get(a.ref, ()), environments)})
        for a in report.artifacts
    ]
    return report.model_copy(update={"artifacts": artifacts})
