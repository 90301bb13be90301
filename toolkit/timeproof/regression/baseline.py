"""What an earlier run found, and what was declared: the baseline file. No IO here.

A baseline is a small JSON file, sorted, one line a cell, made to be committed and read in a diff. It
names environments by title, so that an environment with a new lock is still compared.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from timeproof.base import strictjson
from timeproof.base.limits import LIMITS
from timeproof.compare.verdict import Verdict
from timeproof.errors import Malformed, NewerSchema
from timeproof.regression.report import Cell, Report
from timeproof.replaying.policy import NEVER_ACCEPTED

KIND = "timeproof-baseline"
_ENTRY_KEYS = {"artifact", "environment", "reason", "verdict"}
_REQUIRED_KEYS = {"artifact", "environment", "reason"}


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
        """Whether it is about this cell, whatever its verdict."""
        return Expectation(self.artifact, self.environment, self.reason).covers(cell, title)

    def to_json(self) -> dict[str, str]:
        entry = {"artifact": self.artifact, "environment": self.environment, "reason": self.reason}
        return entry | ({"verdict": self.verdict} if self.verdict else {})


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
    cells: dict[str, dict[str, Verdict]] = {}
    for artifact, row in value.items():
        if not isinstance(row, dict):
            issues.append(f"cells.{artifact}: it is not an object")
            continue
        for title, verdict in row.items():
            if not isinstance(verdict, str) or verdict not in Verdict.__members__:
                issues.append(f"cells.{artifact}.{title}: {verdict!r} is no verdict")
            else:
                cells.setdefault(artifact, {})[title] = Verdict(verdict)
    return cells


def _read_expected(value: Any, issues: list[str]) -> tuple[Expectation, ...]:
    if not isinstance(value, list):
        issues.append("expected: it is not a list")
        return ()
    expectations = []
    for k, entry in enumerate(value):
        if not isinstance(entry, dict) or not all(isinstance(v, str) for v in entry.values()):
            issues.append(f"expected[{k}]: it is not an object of strings")
        elif set(entry) - _ENTRY_KEYS or not set(entry) >= _REQUIRED_KEYS or not entry["reason"]:
            issues.append(f"expected[{k}]: it needs artifact, environment and a reason; verdict is optional")
        elif entry.get("verdict", "") not in {"", *Verdict.__members__}:
            issues.append(f"expected[{k}].verdict: {entry['verdict']!r} is no verdict")
        else:
            expectations.append(Expectation(**entry))
    return tuple(expectations)


def of_report(report: Report, expected: tuple[Expectation, ...] = ()) -> Baseline:
    """The baseline that a run makes. Cells whose answer is unknown (`lost`, …) are left out."""
    titles = {s.name: s.title for s in report.environments}
    cells: dict[str, dict[str, Verdict]] = {}
    for cell in report.cells:
        if cell.verdict not in NEVER_ACCEPTED:
            cells.setdefault(cell.artifact, {})[titles[cell.environment]] = cell.verdict
    return Baseline(cells, expected)


def updated(old: Baseline, report: Report) -> Baseline:
    """The baseline after a run: cells that were run replace the old ones, the others stay."""
    new = of_report(report)
    cells = {a: dict(row) for a, row in old.cells.items()}
    for artifact, row in new.cells.items():
        cells.setdefault(artifact, {}).update(row)
    return Baseline(cells, old.expected)
