"""What an earlier run found, what was declared, and therefore which cells fail. No IO here.

A baseline is a small JSON file, sorted, one line a cell, made to be committed and read in a diff. It
names environments by title, so that one that was locked anew is still compared.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from timeproof.base import strictjson
from timeproof.base.limits import LIMITS
from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest, Malformed, NewerSchema
from timeproof.regression.report import Breakage, Cell, Report

KIND = "timeproof-baseline"
NEVER = (Verdict.lost, Verdict.nondeterministic, Verdict.altered)  # nothing excuses these
DEFAULT_FAIL_ON = Verdict.drift  # where nothing was promised: more than the last bits


@dataclass(frozen=True, slots=True)
class Expectation:
    """A breakage that is known: `artifact` and `environment` are patterns, `verdict` "" is any."""

    artifact: str
    environment: str
    reason: str
    verdict: str = ""

    def covers(self, cell: Cell, title: str) -> bool:
        return (
            fnmatch.fnmatchcase(cell.artifact, self.artifact)
            and (fnmatch.fnmatchcase(title, self.environment) or self.environment == cell.environment)
            and self.verdict in ("", str(cell.verdict))
        )

    def names(self, cell: Cell, title: str) -> bool:
        """Whether it speaks of this cell, whatever was found there."""
        return Expectation(self.artifact, self.environment, self.reason).covers(cell, title)

    def to_json(self) -> dict[str, str]:
        told = {"artifact": self.artifact, "environment": self.environment, "reason": self.reason}
        return told | ({"verdict": self.verdict} if self.verdict else {})


@dataclass(frozen=True, slots=True)
class Baseline:
    """Verdicts by artifact and environment title, and what is expected to break.

    Law: `Baseline.parse(b.to_bytes()) == b`.
    """

    cells: Mapping[str, Mapping[str, Verdict]] = field(default_factory=dict)
    expected: tuple[Expectation, ...] = ()

    def get(self, artifact: str, title: str) -> Verdict | None:
        return self.cells.get(artifact, {}).get(title)

    def to_bytes(self) -> bytes:
        return strictjson.dumps(
            {
                "kind": KIND,
                "schema": 1,
                "expected": [e.to_json() for e in self.expected],
                "cells": {
                    artifact: {title: str(row[title]) for title in sorted(row)}
                    for artifact, row in sorted(self.cells.items(), key=lambda item: _natural(item[0]))
                },
            }
        )

    @classmethod
    def parse(cls, data: bytes, path: object) -> Baseline:
        """Read a baseline, or an earlier report.json. Raises Malformed (every issue) or NewerSchema."""
        value = strictjson.loads(data, path, limit=LIMITS.report_bytes)
        if isinstance(value, dict) and value.get("kind") == "timeproof-regression":
            return of_report(Report.parse(data, path))
        if not isinstance(value, dict) or value.get("kind") != KIND:
            raise Malformed(path, ["it is neither a baseline nor a report of timeproof regress"])
        schema = value.get("schema")
        if not isinstance(schema, int) or isinstance(schema, bool):
            raise Malformed(path, [f"schema: {schema!r} is not a schema version"])
        if schema > 1:
            raise NewerSchema(path, schema, 1)
        issues: list[str] = []
        cells = _read_cells(value.get("cells", {}), issues)
        expected = _read_expected(value.get("expected", []), issues)
        if issues:
            raise Malformed(path, issues)
        return cls(cells, expected)


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort `v10` after `v9`."""
    parts = []
    for part in text.replace("-", "/").replace("v", "/v/").split("/"):
        parts.append((int(part), "") if part.isdecimal() and part.isascii() else (-1, part))
    return parts


def _read_cells(value: Any, issues: list[str]) -> dict[str, dict[str, Verdict]]:
    if not isinstance(value, dict):
        issues.append("cells: it is not an object")
        return {}
    found: dict[str, dict[str, Verdict]] = {}
    for artifact, row in value.items():
        if not isinstance(row, dict):
            issues.append(f"cells.{artifact}: it is not an object")
            continue
        for title, verdict in row.items():
            if not isinstance(verdict, str) or verdict not in Verdict.__members__:
                issues.append(f"cells.{artifact}.{title}: {verdict!r} is no verdict")
            else:
                found.setdefault(artifact, {})[title] = Verdict(verdict)
    return found


def _read_expected(value: Any, issues: list[str]) -> tuple[Expectation, ...]:
    if not isinstance(value, list):
        issues.append("expected: it is not a list")
        return ()
    found = []
    for k, one in enumerate(value):
        known = {"artifact", "environment", "reason", "verdict"}
        if not isinstance(one, dict) or not all(isinstance(v, str) for v in one.values()):
            issues.append(f"expected[{k}]: it is not an object of strings")
        elif set(one) - known or not {"artifact", "environment", "reason"} <= set(one) or not one["reason"]:
            issues.append(f"expected[{k}]: it needs artifact, environment and a reason; verdict is optional")
        elif one.get("verdict", "") not in {"", *Verdict.__members__}:
            issues.append(f"expected[{k}].verdict: {one['verdict']!r} is no verdict")
        else:
            found.append(Expectation(**one))
    return tuple(found)


def of_report(report: Report, expected: tuple[Expectation, ...] = ()) -> Baseline:
    """The baseline that a run makes. What nobody knows (`lost`, …) promises nothing, and is left out."""
    titles = {s.name: s.title for s in report.environments}
    cells: dict[str, dict[str, Verdict]] = {}
    for cell in report.cells:
        if cell.verdict not in NEVER:
            cells.setdefault(cell.artifact, {})[titles[cell.environment]] = cell.verdict
    return Baseline(cells, expected)


def updated(old: Baseline, report: Report) -> Baseline:
    """The baseline after a run: what was run replaces what stood there, the rest stays."""
    new = of_report(report)
    cells = {a: dict(row) for a, row in old.cells.items()}
    for artifact, row in new.cells.items():
        cells.setdefault(artifact, {}).update(row)
    return Baseline(cells, old.expected)


def check_fail_on(text: str) -> Verdict:
    """The verdict from which on a cell fails that nothing was promised of. Raises BadRequest."""
    allowed = [str(v) for v in Verdict if v > Verdict.identical]
    if text not in allowed:
        raise BadRequest(f"{text!r} can't be failed on", advice=f"take one of: {', '.join(allowed)}")
    return Verdict(text)


def judge(report: Report, baseline: Baseline | None, fail_on: Verdict | None, source: str | None) -> Report:
    """Say of each cell what was promised, what was declared, and whether it fails.

    A cell fails where it is worse than its baseline. Where it has none, its own environment promises
    `identical` of an artifact that was sealed in it; elsewhere it fails from `fail_on` on. A declared
    breakage does not fail; `lost`, `nondeterministic` and `altered` always do.
    """
    known = baseline or Baseline()
    limit = fail_on or DEFAULT_FAIL_ON
    titles = {s.name: s.title for s in report.environments}
    sealed = {s.ref for s in report.artifacts if s.origin == "sealed"}
    used: set[Expectation] = set()
    cells = []
    for cell in report.cells:
        title = titles[cell.environment]
        was = known.get(cell.artifact, title)
        declared = next((e for e in known.expected if e.covers(cell, title)), None)
        if was is not None:
            fails = cell.verdict > was
        elif cell.own and cell.artifact in sealed and fail_on is None:
            fails = not (cell.verdict is Verdict.identical or _witnessed(cell))
        else:
            fails = cell.verdict >= limit
        if declared is not None and cell.verdict is not Verdict.identical:
            used.add(declared)
            fails = False
        fails = fails or cell.verdict in NEVER
        reason = declared.reason if declared is not None and cell.verdict is not Verdict.identical else None
        cells.append(cell.model_copy(update={"baseline": was, "expected": reason, "fails": fails}))
    gone = [_gone(e, report, titles) for e in known.expected if e not in used]
    run = {(c.artifact, titles[c.environment]) for c in cells}
    absent = [[a, t] for a, row in known.cells.items() for t in row if (a, t) not in run]
    rule = f"worse than the baseline; without one, {limit} or worse" if baseline else f"{limit} or worse"
    return report.model_copy(
        update={
            "cells": cells,
            "gone": [g for g in gone if g is not None],
            "absent": absent,
            "baseline": source,
            "fail_on": rule,
            "passed": bool(cells) and not any(c.fails for c in cells),
        }
    )


def _witnessed(cell: Cell) -> bool:
    """Whether a witness holds where the last bits do not: as in a replay, it never excuses more."""
    told = cell.facts.get("witness")
    held = isinstance(told, dict) and told.get("holds") is True
    return held and cell.verdict in (Verdict.rounding, Verdict.drift)


def _gone(expected: Expectation, report: Report, titles: Mapping[str, str]) -> Breakage | None:
    """What was found where a breakage was declared; None where nothing was run there."""
    there = [c for c in report.cells if expected.names(c, titles[c.environment])]
    if not there:
        return None
    found = ", ".join(sorted({str(c.verdict) for c in there}))
    return Breakage(
        artifact=expected.artifact, environment=expected.environment, reason=expected.reason, found=found
    )
