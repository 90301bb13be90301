"""Running two things in turn and keeping what they took; the peak memory of a process. No archive here."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measure:
    """One line of the table: some values of one kind, and what their median should not exceed."""

    section: str
    name: str
    unit: str  # "×" for a ratio, "s" for seconds, "ms" for seconds that are told in milliseconds
    values: list[float]
    target: float | None  # None: told, not asked for
    seconds: dict[str, float] = field(default_factory=dict)  # medians of the sides of a ratio

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.median <= self.target

    def spell(self, value: float) -> str:
        if self.unit == "×":
            return f"{value:.2f} ×"
        return f"{value * 1e3:.0f} ms" if self.unit == "ms" else f"{value:.1f} s"

    def to_json(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "name": self.name,
            "unit": self.unit,
            "median": round(self.median, 4),
            "min": round(min(self.values), 4),
            "max": round(max(self.values), 4),
            "target": self.target,
            "met": self.met,
            "values": [round(v, 4) for v in self.values],
            "median_seconds": {k: round(v, 3) for k, v in self.seconds.items()},
        }


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@dataclass(frozen=True)
class Case:
    """What is timed against something else: a name, what to run, and the most that the ratio should be."""

    name: str
    side: str
    work: Callable[[], object]
    target: float | None


def alternate(
    section: str, cases: Sequence[Case], theirs: tuple[str, Callable[[], object]], *, rounds: int
) -> list[Measure]:
    """Time A B A B … after one of each to warm up; the values are `case / theirs`, round by round.

    All sides of a round meet the same machine: what else runs on it takes its share of each.
    """
    name, work = theirs
    for one in [*(c.work for c in cases), work]:
        one()
    times = [([seconds(c.work) for c in cases], seconds(work)) for _ in range(rounds)]
    against = statistics.median(t for _, t in times)
    return [
        Measure(
            section,
            case.name,
            "×",
            [ours[k] / t for ours, t in times],
            case.target,
            {case.side: statistics.median(ours[k] for ours, _ in times), name: against},
        )
        for k, case in enumerate(cases)
    ]


def repeat(
    section: str, name: str, target: float | None, work: Callable[[], float], *, rounds: int
) -> Measure:
    """Let `work` time itself, `rounds` times after one to warm up."""
    work()
    return Measure(section, name, "s", [work() for _ in range(rounds)], target)


def command(words: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
    """Run a command to its end; its stdout is thrown away. Raises where it fails, with its stderr."""
    done = subprocess.run(
        [os.fspath(w) for w in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | dict(environment or {}),
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace")[-2000:]
        raise SystemExit(f"{' '.join(map(str, words[:4]))} … ended with {done.returncode}:\n{said}")


# A process counts what its parent held when it was forked, so a small one stands between.
_PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def peak_memory(words: Sequence[str | Path]) -> int:
    """Run a command; return the most resident memory that it had, in bytes."""
    argv = [sys.executable, "-S", "-c", _PEAK, *(os.fspath(w) for w in words)]
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, words))} failed:\n{done.stderr.decode('utf-8', 'replace')[-2000:]}"
        )
    return int(done.stdout) * 1024
