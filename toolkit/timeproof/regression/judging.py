"""Which cells of a report fail: what was promised of each, and whether it is kept. No IO here.

The rule itself is `timeproof.replaying.policy`'s. This module says what a cell's promise is: first come,

1. the baseline's verdict for it;
2. `identical`, where a sealed artifact ran in its own environment and the user named no `--fail-on`;
3. anything below `--fail-on` (`drift` by default).

A breakage that was declared is accepted, but for those verdicts that nothing makes good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest
from timeproof.regression.baseline import Baseline, Expectation
from timeproof.regression.report import Breakage, Cell, Report
from timeproof.replaying.policy import NEVER_ACCEPTED, Answer, keeps_promise

DEFAULT_FAIL_ON = Verdict.drift  # where nothing was promised: more than the last bits
EXCUSED = "it passes by its witness, which is identical: this is another CPU than the recorded one"


def check_fail_on(text: str) -> Verdict:
    """The verdict from which on a cell fails that nothing was promised of. Raises BadRequest."""
    allowed = [str(v) for v in Verdict if v > Verdict.identical]
    if text not in allowed:
        raise BadRequest(f"{text!r} can't be failed on", advice=f"take one of: {', '.join(allowed)}")
    return Verdict(text)


def judge(
    report: Report,
    baseline: Baseline | None,
    fail_on: Verdict | None,
    source: str | None,
    *,
    strict: bool = False,
) -> Report:
    """Fill in for each cell what was promised, what was declared, and whether it fails.

    Args:
        fail_on: the user's `--fail-on`; None where there is none.
        source: where the baseline was read, for the report.
        strict: no witness counts.
    """
    rules = _Rules(
        baseline or Baseline(),
        fail_on,
        {e.name: e.title for e in report.environments},
        {a.ref for a in report.artifacts if a.origin == "sealed"},
        strict,
    )
    cells = [rules.judged(cell) for cell in report.cells]
    limit = fail_on or DEFAULT_FAIL_ON
    rule = f"worse than the baseline; without one, {limit} or worse" if baseline else f"{limit} or worse"
    return report.model_copy(
        update={
            "cells": cells,
            "gone": list(rules.gone(report)),
            "absent": rules.absent(cells),
            "baseline": source,
            "fail_on": rule,
            "passed": bool(cells) and not any(c.fails for c in cells),
        }
    )


def answer_of(cell: Cell) -> Answer:
    """What of a cell decides whether it passes. Facts of a damaged or foreign report count for nothing."""
    witness = cell.facts.get("witness")
    return Answer(
        cell.verdict,
        witness_holds=isinstance(witness, dict) and witness.get("holds") is True,
        other_cpu=cell.facts.get("other_cpu") is True,
        own_environment=cell.own,
    )


@dataclass(slots=True)
class _Rules:
    """What is promised and declared, and which declarations came true."""

    baseline: Baseline
    fail_on: Verdict | None
    titles: Mapping[str, str]  # of environments, by their names
    sealed: set[str]  # artifacts whose own environment promises identity
    strict: bool
    used: set[Expectation] = field(default_factory=set)

    def judged(self, cell: Cell) -> Cell:
        """The cell, with its baseline, the reason of a declared breakage, and whether it fails."""
        title = self.titles[cell.environment]
        before = self.baseline.get(cell.artifact, title)
        declared = next((e for e in self.baseline.expected if e.covers(cell, title)), None)
        if cell.verdict is Verdict.identical:
            declared = None
        answer, promised = answer_of(cell), self.promise(cell, before)
        fails = not keeps_promise(answer, promised, strict=self.strict)
        excused = not fails and not keeps_promise(answer, promised, strict=True)
        if declared is not None:
            self.used.add(declared)
            fails = cell.verdict in NEVER_ACCEPTED
        reason = declared.reason if declared is not None else None
        notes = [*cell.notes, EXCUSED] if excused else cell.notes
        update = {"baseline": before, "expected": reason, "fails": fails, "notes": notes}
        return cell.model_copy(update=update)

    def promise(self, cell: Cell, before: Verdict | None) -> Verdict:
        """The worst verdict that keeps what was promised of this cell."""
        if before is not None:
            return before
        if cell.own and cell.artifact in self.sealed and self.fail_on is None:
            return Verdict.identical
        limit = self.fail_on or DEFAULT_FAIL_ON
        return max(v for v in Verdict if v < limit)

    def gone(self, report: Report) -> Iterator[Breakage]:
        """The declared breakages that did not happen, where something was run; and what was found."""
        for declared in self.baseline.expected:
            if declared in self.used:
                continue
            cells = [c for c in report.cells if declared.names(c, self.titles[c.environment])]
            if cells:
                yield Breakage(
                    artifact=declared.artifact,
                    environment=declared.environment,
                    reason=declared.reason,
                    found=", ".join(sorted({str(c.verdict) for c in cells})),
                )

    def absent(self, cells: list[Cell]) -> list[list[str]]:
        """[artifact, environment] of the baseline's cells that were not run."""
        run = {(c.artifact, self.titles[c.environment]) for c in cells}
        return [[a, t] for a, row in self.baseline.cells.items() for t in row if (a, t) not in run]
