"""What the HTML report's script is told: a lean grid, and the rest of each row apart. No IO here.

The grid alone is parsed when the page is opened; a row's details when one of its cells is.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from packaging.version import InvalidVersion, Version

from timeproof.compare.verdict import THRESHOLDS, Verdict
from timeproof.regression.report import Cell, Report, ReportedArtifact, ReportedEnvironment
from timeproof.regression.reports.labels import FRAMEWORKS, LOOKS, SEVERAL, group_of, short_title, visible

_LOG, _LOG_FINE = 8_000, 1_000  # characters of a log's end: of a finding, of an identical cell
_OUTPUTS = 20  # outputs of one artifact, the worst of them
_PLACES = {verdict: place for place, verdict in enumerate(LOOKS)}
FAILS, EXPECTED, OWN, WORSE, BETTER, NEW = 1, 2, 4, 8, 16, 32  # as in page/data.js
_CHANGES = {"worse": WORSE, "better": BETTER, "new": NEW, "same": 0}
# Of ArrayDiff.to_json(), what the page shows.
_MEASURED = (
    *(
        "verdict",
        "reason",
        "dtype",
        "shape",
        "differing",
        "elements",
        "max_abs",
        "worst",
        "scale",
        "relative",
    ),
    *("sulp", "max_ulp", "rows", "rows_beyond", "beyond_onnx", "flips", "tie_flips", "smallest_margin"),
    *("nan_moved", "inf_moved", "signed_zeros", "histogram"),
)


def sorted_sites(report: Report) -> list[ReportedEnvironment]:
    """The columns: by framework, within one by date and version; mixed environments last."""
    order = [
        *FRAMEWORKS,
        *sorted({group_of(s) for s in report.environments} - {*FRAMEWORKS, SEVERAL}),
        SEVERAL,
    ]
    return sorted(
        report.environments,
        key=lambda s: (order.index(group_of(s)), s.dated or s.created, _version(s), s.title, s.name),
    )


def _version(site: ReportedEnvironment) -> tuple[int, Version, str]:
    text = next(iter(site.frameworks.values()), "")
    try:
        return 1, Version(text), text
    except InvalidVersion:
        return 0, Version("0"), text


def payload(report: Report, sites: list[ReportedEnvironment]) -> dict[str, Any]:
    """Everything that the grid needs. A cell of an artifact or environment that isn't listed is left out."""
    reasons: dict[str, int] = {}
    rows = [[_lean(report, cell, column, reasons) for column, cell in row] for row in _rows(report, sites)]
    groups = {group_of(s): FRAMEWORKS.get(group_of(s), group_of(s)) for s in sites}
    told = {
        "verdicts": [
            {
                "id": str(verdict),
                "glyph": look.glyph,
                "name": look.name,
                "severity": verdict.severity,
                "fine": verdict is Verdict.identical,
            }
            for verdict, look in LOOKS.items()
        ],
        "groups": groups | ({SEVERAL: "Several"} if SEVERAL in groups else {}),
        "sites": [_site(s, sites) for s in sites],
        "artifacts": [_artifact(s) for s in report.artifacts],
        "cells": rows,
        "reasons": list(reasons),
        "command": shlex.join(["timeproof", "regress", report.archive]),
        "machines": [", ".join(f"{k}: {v}" for k, v in m.items()) for m in report.machines],
        "baseline": report.baseline,
        "thresholds": {
            "rounding": THRESHOLDS.rounding,
            "drift": THRESHOLDS.drift,
            "drift_16bit": THRESHOLDS.drift_16bit,
        },
    }
    return dict(_visible(told))


def row_details(report: Report, sites: list[ReportedEnvironment]) -> Iterator[list[Any]]:
    """For each artifact, in their order, what is known of its cells beyond the grid, in the grid's order."""
    for row in _rows(report, sites):
        yield [_visible(_detail(cell)) for _, cell in row]


def _rows(report: Report, sites: list[ReportedEnvironment]) -> Iterator[list[tuple[int, Cell]]]:
    columns = {site.name: column for column, site in enumerate(sites)}
    by_artifact: dict[str, list[tuple[int, Cell]]] = {s.ref: [] for s in report.artifacts}
    for cell in report.cells:
        if cell.artifact in by_artifact and cell.environment in columns:
            by_artifact[cell.artifact].append((columns[cell.environment], cell))
    for subject in report.artifacts:
        yield sorted(by_artifact[subject.ref], key=lambda pair: pair[0])


def _lean(report: Report, cell: Cell, column: int, reasons: dict[str, int]) -> list[int]:
    flags = cell.fails * FAILS | cell.own * OWN
    if cell.expected is not None and cell.verdict is not Verdict.identical:
        flags |= EXPECTED
    if report.baseline is not None:
        flags |= _CHANGES[cell.change]
    baseline = -1 if cell.baseline is None else _PLACES[cell.baseline]
    return [column, _PLACES[cell.verdict], flags, baseline, reasons.setdefault(cell.reason, len(reasons))]


def _site(site: ReportedEnvironment, sites: list[ReportedEnvironment]) -> dict[str, Any]:
    short = short_title(site)
    if sum(short_title(s) == short and group_of(s) == group_of(site) for s in sites) > 1:
        short = site.name  # two of one title: the name tells them apart
    return {
        **site.model_dump(
            include={"name", "title", "frameworks", "packages", "dated", "manifest", "failure"}
        ),
        "short": short,
        "group": group_of(site),
        "arg": shlex.quote(site.name),
    }


def _artifact(subject: ReportedArtifact) -> dict[str, Any]:
    framework = FRAMEWORKS.get(subject.framework, subject.framework)
    made = f"{framework} {subject.framework_version}" if subject.framework_version else framework
    name = subject.tags.get("name") or subject.tags.get("case", "")
    return {
        **subject.model_dump(
            include={"ref", "framework", "python", "environment", "profile", "created", "origin"}
        ),
        "version": subject.framework_version,
        "tags": subject.tags,
        "history": subject.history,
        "name": name,
        "about": " · ".join(part for part in (name, made) if part),
        "arg": shlex.quote(subject.ref),
    }


def _detail(cell: Cell) -> dict[str, Any]:
    most = _LOG_FINE if cell.verdict is Verdict.identical else _LOG
    log = cell.log.strip()
    told = {
        **cell.model_dump(
            include={"profile", "answer", "versions", "facts", "notes", "attempts", "machine", "expected"}
        ),
        "seconds": round(cell.seconds, 3),
        "difference": _difference(cell.difference),
        "log": log if len(log) <= most else f"(the end of it; all of it is in report.json)\n{log[-most:]}",
    }
    return {key: value for key, value in told.items() if value not in (None, "", [], {})}


def _difference(found: Any) -> dict[str, Any] | None:
    """The worst outputs, of each what the page shows. A report from elsewhere may hold anything here."""
    outputs = found.get("outputs") if isinstance(found, dict) else None
    if not isinstance(outputs, dict):
        return None
    known = [(name, one) for name, one in outputs.items() if isinstance(one, dict)]
    known.sort(key=lambda pair: -_severity(pair[1].get("verdict")))
    kept = {}
    for name, one in known[:_OUTPUTS]:
        keys = ("verdict", "reason") if one.get("verdict") == "identical" else _MEASURED
        kept[name] = {key: one[key] for key in keys if one.get(key) is not None}
    told = {"outputs": kept, "more": len(known) - len(kept)}
    return told | {key: found[key] for key in ("missing", "extra") if found.get(key)}


def _severity(name: object) -> int:
    known = {str(v): v.severity for v in Verdict}
    return known.get(str(name), 99)


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(k)): _visible(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_visible(v) for v in value]
    return value
