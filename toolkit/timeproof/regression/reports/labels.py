"""How a verdict looks and what it means, for every report; and how to reproduce a cell. No IO here.

A glyph is one character that ordinary fonts have, so that no report tells verdicts by colour alone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from timeproof.compare.verdict import Verdict
from timeproof.frameworks.registry import module_of, title_of
from timeproof.regression.report import Cell, Report, ReportedEnvironment


@dataclass(frozen=True, slots=True)
class Look:
    glyph: str
    name: str
    meaning: str


LOOKS = {
    Verdict.not_applicable: Look("·", "not applicable", "the environment lacks this framework"),
    Verdict.identical: Look("=", "identical", "every byte equal"),
    Verdict.rounding: Look("≈", "rounding", "only the last bits differ"),
    Verdict.drift: Look("~", "drift", "more than the last bits, and still the same answer"),
    Verdict.outliers: Look("∴", "outliers", "a few rows are off, or all a little more than drift"),
    Verdict.broken: Look("≠", "broken", "another answer"),
    Verdict.refused: Look("R", "refused", "the framework would not load or run it"),
    Verdict.crashed: Look("X", "crashed", "the process ended by a signal or an error of its own"),
    Verdict.timeout: Look("T", "timed out", "no answer within the time limit"),
    Verdict.out_of_memory: Look("M", "out of memory", "it asked for more memory than the limit"),
    Verdict.too_large: Look("L", "too large", "more output than was declared"),
    Verdict.nondeterministic: Look("N", "nondeterministic", "two runs of one thing disagree"),
    Verdict.altered: Look("A", "altered", "the archived bytes are not the recorded ones; nothing was run"),
    Verdict.lost: Look("?", "lost", "nobody knows: the machine or the engine went away"),
}

SEVERAL = "several"


def round_trip_sentence(framework: str, versions: Mapping[str, str], round_trip: Mapping[str, Any]) -> str:
    """Say how the model's file changed when this framework loaded it and saved it again."""
    version = versions.get(module_of(framework), "")
    by = f"saved again by {title_of(framework)} {version}".rstrip()
    if round_trip["status"] == "identical":
        return f"{by}, the file is the same in every byte"
    if round_trip["status"] == "failed":
        return f"the file can't be saved again: {round_trip.get('reason', '')}"
    differences = "; ".join(round_trip.get("differences", ()))
    return f"{by}, the file differs: {differences or 'it is spelled otherwise'}"


def gravest_first(cells: Iterable[Cell]) -> list[Cell]:
    """Sort wrong answers before refusals: a wrong answer is silent, a refusal is not. Stable otherwise."""
    return sorted(cells, key=lambda c: (not c.verdict.graded, -c.verdict.severity if c.verdict.graded else 0))


def group_of(environment: ReportedEnvironment) -> str:
    """The framework of this environment; `SEVERAL` where it holds more than one."""
    return next(iter(environment.frameworks)) if len(environment.frameworks) == 1 else SEVERAL


def short_title(environment: ReportedEnvironment) -> str:
    """The title without the framework's name, which is its group's: `3.3.5`."""
    group, title = group_of(environment), environment.title
    for prefix in (group, module_of(group)):
        if group != SEVERAL and title.startswith(f"{prefix}-"):
            return title.removeprefix(f"{prefix}-") or title
    return title


def verdict_words(cell: Cell) -> str:
    """The verdict in words, and how it was judged: `broken, fails, worse than identical`."""
    words = [LOOKS[cell.verdict].name]
    if cell.fails:
        words.append("fails")
    if cell.expected is not None:
        words.append("declared to be expected")
    if cell.baseline is not None and cell.change != "same":
        words.append(f"{cell.change} than {LOOKS[cell.baseline].name}")
    return ", ".join(words)


def reproduce(report: Report, artifact: str, environment: str) -> str:
    """One command, quoted for a shell, that runs one cell again."""
    if report.command == "replay":
        return shlex.join(["timeproof", "replay", artifact, "--archive", report.archive])
    words = ["timeproof", "regress", report.archive, "--artifact", artifact, "--env", environment]
    return shlex.join(words)


# Colours and cursor moves of terminals; then characters that are invisible, or that reorder others.
_TERMINAL = re.compile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?)")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff"
    "\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Spell out invisible characters and those that reverse the direction of text; drop colour codes."""
    if text.isascii() and text.isprintable():
        return text
    text = _TERMINAL.sub("", text).replace("\r\n", "\n")
    return _UNSEEN.sub(lambda match: _spelled(ord(match[0])), text)


def _spelled(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
