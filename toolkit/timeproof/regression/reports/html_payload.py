"""What the HTML report's script gets: a lean grid, and the rest of each row apart. No IO here.

The grid alone is parsed when the page is opened; a row's details when one of its cells is.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from packaging.version import InvalidVersion, Version

from timeproof.compare.verdict import THRESHOLDS, Verdict
from timeproof.frameworks.registry import module_of, title_of, titles
from timeproof.regression.report import Cell, Report, ReportedArtifact, ReportedEnvironment
from timeproof.regression.reports.labels import LOOKS, SEVERAL, group_of, short_title, visible

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


def sorted_environments(report: Report) -> list[ReportedEnvironment]:
    """The columns: by framework, within one by date and version; mixed environments last."""
    order = [
        *titles(),
        *sorted({group_of(s) for s in report.environments} - {*titles(), SEVERAL}),
        SEVERAL,
    ]
    return sorted(
        report.environments,
        key=lambda s: (order.index(group_of(s)), s.dated or s.created, _version(s), s.title, s.name),
    )


def _version(environment: ReportedEnvironment) -> tuple[int, Version, str]:
    text = next(iter(environment.frameworks.values()), "")
    try:
        return 1, Version(text), text
    except InvalidVersion:
        return 0, Version("0"), text


def payload(report: Report, environments: list[ReportedEnvironment]) -> dict[str, Any]:
    """Everything that the grid needs. A cell of an artifact or environment that isn't listed is left out."""
    reasons: dict[str, int] = {}
    rows = [
        [_lean(report, cell, column, reasons) for column, cell in row] for row in _rows(report, environments)
    ]
    groups = {group_of(s): title_of(group_of(s)) for s in environments}
    values = {
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
        "sites": [_environment_payload(s, environments) for s in environments],
        "artifacts": [_artifact_payload(s) for s in report.artifacts],
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
    return dict(_visible(values))


def row_details(report: Report, environments: list[ReportedEnvironment]) -> Iterator[list[Any]]:
    """For each artifact, in their order, what is known of its cells beyond the grid, in the grid's order."""
    for row in _rows(report, environments):
        yield [_visible(_detail(cell)) for _, cell in row]


def _rows(report: Report, environments: list[ReportedEnvironment]) -> Iterator[list[tuple[int, Cell]]]:
    columns = {environment.name: column for column, environment in enumerate(environments)}
    by_artifact: dict[str, list[tuple[int, Cell]]] = {s.ref: [] for s in report.artifacts}
    for cell in report.cells:
        if cell.artifact in by_artifact and cell.environment in columns:
            by_artifact[cell.artifact].append((columns[cell.environment], cell))
    for artifact in report.artifacts:
        yield sorted(by_artifact[artifact.ref], key=lambda pair: pair[0])


def _lean(report: Report, cell: Cell, column: int, reasons: dict[str, int]) -> list[int]:
    flags = cell.fails * FAILS | cell.own * OWN
    if cell.expected is not None and cell.verdict is not Verdict.identical:
        flags |= EXPECTED
    if report.baseline is not None:
        flags |= _CHANGES[cell.change]
    baseline = -1 if cell.baseline is None else _PLACES[cell.baseline]
    return [column, _PLACES[cell.verdict], flags, baseline, reasons.setdefault(cell.reason, len(reasons))]


def _environment_payload(
    environment: ReportedEnvironment, environments: list[ReportedEnvironment]
) -> dict[str, Any]:
    short = short_title(environment)
    if sum(short_title(s) == short and group_of(s) == group_of(environment) for s in environments) > 1:
        short = environment.name  # two of one title: the name tells them apart
    return {
        **environment.model_dump(
            include={"name", "title", "frameworks", "packages", "dated", "manifest", "failure"}
        ),
        "short": short,
        "group": group_of(environment),
        "arg": shlex.quote(environment.name),
    }


def _artifact_payload(artifact: ReportedArtifact) -> dict[str, Any]:
    framework = title_of(artifact.framework)
    version = artifact.framework_version
    framework_version = f"{framework} {version}" if version else framework
    name = artifact.tags.get("name") or artifact.tags.get("case", "")
    return {
        **artifact.model_dump(
            include={"ref", "framework", "python", "environment", "profile", "created", "origin"}
        ),
        "version": artifact.framework_version,
        "runs": module_of(artifact.framework),
        "tags": artifact.tags,
        "history": artifact.history,
        "name": name,
        "about": " · ".join(part for part in (name, framework_version) if part),
        "arg": shlex.quote(artifact.ref),
    }


def _detail(cell: Cell) -> dict[str, Any]:
    most = _LOG_FINE if cell.verdict is Verdict.identical else _LOG
    log = cell.log.strip()
    values = {
        **cell.model_dump(
            include={"profile", "answer", "versions", "facts", "notes", "attempts", "machine", "expected"}
        ),
        "seconds": round(cell.seconds, 3),
        "difference": _difference(cell.difference),
        "log": log if len(log) <= most else f"(the end of it; all of it is in report.json)\n{log[-most:]}",
    }
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}


def _difference(difference: Any) -> dict[str, Any] | None:
    """The worst outputs, of each what the page shows. A report from elsewhere may hold anything here."""
    outputs = difference.get("outputs") if isinstance(difference, dict) else None
    if not isinstance(outputs, dict):
        return None
    pairs = [(name, output) for name, output in outputs.items() if isinstance(output, dict)]
    pairs.sort(key=lambda pair: -_severity(pair[1].get("verdict")))
    worst = {}
    for name, output in pairs[:_OUTPUTS]:
        keys = ("verdict", "reason") if output.get("verdict") == "identical" else _MEASURED
        worst[name] = {key: output[key] for key in keys if output.get(key) is not None}
    values = {"outputs": worst, "more": len(pairs) - len(worst)}
    return values | {key: difference[key] for key in ("missing", "extra") if difference.get(key)}


def _severity(name: object) -> int:
    severities = {str(v): v.severity for v in Verdict}
    return severities.get(str(name), 99)


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(k)): _visible(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_visible(v) for v in value]
    return value
