"""Where in a framework's history an artifact's answer changed. Values in, words out; no IO here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from timeproof.compare.verdict import Verdict
from timeproof.regression.plan import version_key
from timeproof.regression.report import Cell, Report, ReportedArtifact, ReportedEnvironment
from timeproof.regression.reports.labels import framework_name

_SAID = {
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
    """Neighbouring versions of a framework in which one verdict was found."""

    verdict: Verdict
    versions: tuple[str, ...]  # ascending, at least one


def spans(found: Iterable[tuple[str, Verdict]]) -> list[Span]:
    """Group (version, verdict) pairs into spans, by ascending version.

    Of several environments with one version the worst verdict counts: it breaks in one of them.
    """
    worst: dict[str, Verdict] = {}
    for version, verdict in found:
        worst[version] = max(verdict, worst.get(version, Verdict.not_applicable))
    ordered = sorted(worst.items(), key=lambda item: (version_key(item[0]), item[0]))
    return [
        Span(verdict, tuple(version for version, _ in group))
        for verdict, group in groupby(ordered, key=lambda item: item[1])
    ]


def sentence(framework: str, history: Sequence[Span]) -> str:
    """Say it: "identical up to LightGBM 3.3.5, refused by 4.0.0, identical again from 4.7.0"."""
    if not history:
        return ""
    name = framework_name(framework)
    seen: set[Verdict] = set()
    parts = []
    for k, span in enumerate(history):
        said = _SAID[span.verdict]
        first, last = span.versions[0], span.versions[-1]
        label = f"{name} " if k == 0 else ""
        if len(history) == 1:
            where = f"in {label}{first}" if first == last else f"from {label}{first} to {last}"
        elif k == 0:
            where = f"up to {label}{last}" if first != last else f"in {label}{first}"
        elif k == len(history) - 1:
            where = f"from {first}" if first != last else f"in {first}"
        else:
            where = f"from {first} to {last}" if first != last else f"in {first}"
        if span.verdict is Verdict.refused:
            where = where.replace("in ", "by ", 1) if where.startswith("in ") else where
        again = " again" if span.verdict in seen else ""
        parts.append(f"{said}{again} {where}")
        seen.add(span.verdict)
    return ", ".join(parts)


def history_of(
    subject: ReportedArtifact, cells: Iterable[Cell], sites: dict[str, ReportedEnvironment]
) -> str:
    """The sentence for one artifact, from all its cells."""
    pairs = [
        (sites[c.environment].frameworks[subject.framework], c.verdict)
        for c in cells
        if subject.framework in sites[c.environment].frameworks
    ]
    return sentence(subject.framework, spans(pairs))


def with_histories(report: Report) -> Report:
    """Fill in each artifact's history."""
    sites = {s.name: s for s in report.environments}
    rows: dict[str, list[Cell]] = {}
    for cell in report.cells:
        rows.setdefault(cell.artifact, []).append(cell)
    told = [
        s.model_copy(update={"history": history_of(s, rows.get(s.ref, ()), sites)}) for s in report.artifacts
    ]
    return report.model_copy(update={"artifacts": told})
