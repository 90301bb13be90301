"""Collects cells, which come from any thread and more than once: it keeps each once, and names a conflict."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from timeproof.compare.verdict import Verdict
from timeproof.regression.report import Cell

Keep = Callable[[Cell, Mapping[str, Any]], None]


class Collector:
    """Keeps one cell for each artifact and environment.

    Laws: the order of deliveries does not matter but for times and attempts; delivering twice is
    delivering once; two different answers of one pair are `nondeterministic`; any other
    verdict replaces `lost`.
    """

    def __init__(self, keep: Keep = lambda *_: None) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self.cells: dict[tuple[str, str], Cell] = {}
        self.machines: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}

    def remember(self, cell: Cell, machine: Mapping[str, Any]) -> None:
        """Take a cell from an earlier run's journal."""
        self.cells[cell.key] = cell.model_copy(update={"machine": self._number(machine)})

    def deliver(self, cell: Cell, machine: Mapping[str, Any]) -> None:
        """Take one cell, and what the container said of its machine."""
        with self._lock:
            cell = cell.model_copy(update={"machine": self._number(machine)})
            before = self.cells.get(cell.key)
            merged = cell if before is None else merge(before, cell)
            if merged is before:
                return
            self.cells[cell.key] = merged
            self._keep(merged, machine)

    def _number(self, machine: Mapping[str, Any]) -> int:
        spelled = json.dumps(dict(machine), sort_keys=True, default=str)
        if spelled not in self._numbers:
            self._numbers[spelled] = len(self.machines)
            self.machines.append(dict(machine))
        return self._numbers[spelled]


def merge(before: Cell, cell: Cell) -> Cell:
    """The cell after two deliveries; `before` itself where the second says nothing new."""
    if cell.verdict is Verdict.lost or before.verdict is Verdict.nondeterministic:
        return before
    if before.verdict is Verdict.lost or cell.verdict is Verdict.nondeterministic:
        return cell
    if (before.verdict, before.answer) == (cell.verdict, cell.answer):
        return before
    both = sorted((before, cell), key=lambda c: (c.verdict.severity, c.answer or ""))
    answers = " and ".join(f"{c.verdict} ({_short(c)})" for c in both)
    return both[-1].model_copy(
        update={"verdict": Verdict.nondeterministic, "reason": f"two runs disagree: {answers}"}
    )


def _short(cell: Cell) -> str:
    return f"answer {cell.answer[:12]}" if cell.answer else cell.reason
