"""A report as Markdown, for GitHub's step summary and for merge requests. No IO here.

Every word of the report stands in a code span or a code block, where Markdown, HTML, mentions and links
mean nothing: an archive may be anyone's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from timeproof.compare.verdict import Verdict
from timeproof.frameworks.registry import title_of
from timeproof.regression.report import Cell, Report, ReportedEnvironment
from timeproof.regression.reports.labels import (
    LOOKS,
    SEVERAL,
    gravest_first,
    group_of,
    reproduce,
    short_title,
    visible,
)

LIMIT = 900_000  # bytes; GitHub drops a step's summary altogether beyond 1 MiB, and others write there too
_ROWS = 100  # artifacts in the grid
_CELLS = 50  # cells that are listed one by one, of each kind
_WORDS = 300  # characters of a reason


def render_markdown(report: Report, limit: int = LIMIT) -> bytes:
    """Give the summary: the outcome, what fails and how to reproduce it, what changed, the grid.

    At most `limit` bytes in UTF-8: the rest is cut off after a whole line, with a note.
    """
    parts = (_head, _failing, _changed, _gone, _counted, _grid)
    return _bounded((line for part in parts for line in part(report)), limit)


def _head(report: Report) -> Iterator[str]:
    mark = "✅ passed" if report.passed else "❌ failed"
    yield f"## {mark}: timeproof {report.command}"
    yield ""
    cells = len(report.cells)
    sizes = f"{len(report.artifacts)} artifacts × {len(report.environments)} environments, {cells} cells"
    counts = [f"{report.counts[v]} {LOOKS[Verdict(v)].name}" for v in report.counts]
    yield f"{sizes}: {', '.join(counts) or 'none'}."
    fails = sum(c.fails for c in report.cells)
    rule = f" by the rule {code(report.fail_on)}" if report.fail_on else ""
    against = f", compared with {code(report.baseline)}" if report.baseline else ""
    yield f"**{fails} {'cell fails' if fails == 1 else 'cells fail'}**{rule}{against}."
    for environment in report.environments:
        if environment.failure:
            yield f"- {code(environment.title)} could not be had: {code(environment.failure)}"
    for note in report.notes[:20]:
        yield f"- {code(note)}"


def _failing(report: Report) -> Iterator[str]:
    cells = gravest_first(c for c in report.cells if c.fails)
    if not cells:
        return
    yield from ("", "### What fails", "")
    titles = _titles(report)
    for cell in cells[:_CELLS]:
        yield f"- {_line(cell, titles)}: {code(cell.reason)}"
    yield from _more(len(cells) - _CELLS)
    first = cells[0]
    yield from ("", "Reproduce the first one:", "")
    yield from block(reproduce(report, first.artifact, first.environment))


def _changed(report: Report) -> Iterator[str]:
    if report.baseline is None:
        return
    cells = [c for c in report.cells if c.change in {"worse", "better"}]
    fresh = sum(c.change == "new" for c in report.cells)
    yield from ("", "### What changed", "")
    if not cells:
        yield "No cell that the baseline knows has another verdict."
    titles = _titles(report)
    for cell in sorted(cells, key=lambda c: c.change, reverse=True)[:_CELLS]:
        before = LOOKS[cell.baseline].name if cell.baseline else ""
        yield f"- {cell.change}: {_line(cell, titles)} (was {before})"
    yield from _more(len(cells) - _CELLS)
    if fresh:
        yield f"- {fresh} {'cell is' if fresh == 1 else 'cells are'} not in the baseline"
    if report.absent:
        yield f"- {len(report.absent)} of the baseline were not run"


def _gone(report: Report) -> Iterator[str]:
    if not report.gone:
        return
    yield from ("", "### Declared to break, and did not", "")
    for gone in report.gone[:_CELLS]:
        place = f"{code(gone.artifact)} in {code(gone.environment)}"
        yield f"- {place}: {code(gone.found)} ({code(gone.reason)})"
    yield from _more(len(report.gone) - _CELLS)


def _counted(report: Report) -> Iterator[str]:
    """How many of each verdict there are in each environment, where the grid is too long to be read."""
    if len(report.artifacts) <= _ROWS:
        return
    used = [v for v in LOOKS if str(v) in report.counts]
    totals = Counter((c.environment, c.verdict) for c in report.cells)
    yield from ("", "### Each environment", "")
    yield "| environment | " + " | ".join(LOOKS[v].name for v in used) + " |"
    yield "|---|" + "---:|" * len(used)
    for environment in report.environments:
        counts = (str(totals[environment.name, v] or "") for v in used)
        yield f"| {cellcode(environment.title)} | " + " | ".join(counts) + " |"


_Row = tuple[bool, str, list[Cell | None]]  # whether all is identical, the artifact, its cells


def _grid(report: Report) -> Iterator[str]:
    """One table a framework: the artifacts that are not identical everywhere first; the rest is counted."""
    groups: dict[str, list[ReportedEnvironment]] = {}
    for environment in sorted(report.environments, key=lambda e: (e.dated or e.created, e.title)):
        groups.setdefault(group_of(environment), []).append(environment)
    room = _ROWS
    for group, environments in groups.items():
        rows = _rows(report, environments)
        if rows:
            yield from _table(group, environments, rows, room)
            room = max(0, room - len(rows))
    used = {c.verdict for c in report.cells}
    legend = [f"{look.glyph} {look.name}" for v, look in LOOKS.items() if v in used]
    yield from ("", " · ".join([*legend, "**bold**: fails"]))


def _rows(report: Report, environments: list[ReportedEnvironment]) -> list[_Row]:
    """The artifacts that have a cell in one of these environments, those with a finding first."""
    rows: list[_Row] = []
    for artifact in report.artifacts:
        cells = [report.grid.get((artifact.ref, e.name)) for e in environments]
        if any(cells):
            fine = all(c is None or c.verdict is Verdict.identical for c in cells)
            rows.append((fine, artifact.ref, cells))
    return sorted(rows, key=lambda row: row[0])  # stable: the report's order within


def _table(group: str, environments: list[ReportedEnvironment], rows: list[_Row], room: int) -> Iterator[str]:
    """One framework's table, of at most `room` rows."""
    yield from ("", f"### {title_of(group) if group != SEVERAL else 'Several frameworks'}", "")
    yield "| artifact | " + " | ".join(cellcode(short_title(e)) for e in environments) + " |"
    yield "|---|" + ":-:|" * len(environments)
    for _, ref, cells in rows[:room]:
        yield f"| {cellcode(ref)} | " + " | ".join(_mark(c) for c in cells) + " |"
    if hidden := rows[room:]:
        same = sum(fine for fine, _, _ in hidden)
        yield from ("", f"{len(hidden)} more artifacts, {same} of them identical in every environment.")


def _mark(cell: Cell | None) -> str:
    if cell is None:
        return ""
    glyph = LOOKS[cell.verdict].glyph
    return f"**{glyph}**" if cell.fails else glyph


def _titles(report: Report) -> dict[str, str]:
    return {e.name: e.title for e in report.environments}


def _line(cell: Cell, titles: dict[str, str]) -> str:
    where = code(titles.get(cell.environment, cell.environment))
    return f"{code(cell.artifact)} in {where}: **{LOOKS[cell.verdict].name}**"


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"- … and {count} more"


def code(text: str, most: int = _WORDS) -> str:
    """A code span that holds any text: fenced by more backticks than stand in it, on one line."""
    line = " ".join(visible(text).split())
    line = line if len(line) <= most else f"{line[:most]}…"
    if not line:
        return "–"
    fence = "`" * (_ticks(line) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def cellcode(text: str) -> str:
    """A code span for a table, where no escape keeps every `|` from ending the cell."""
    return code(text.replace("|", "¦"))


def block(text: str) -> list[str]:
    """A code block that holds any text."""
    fence = "`" * max(3, _ticks(text) + 1)
    return [fence, *visible(text).splitlines(), fence]


def _ticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _bounded(lines: Iterable[str], limit: int) -> bytes:
    note = "\n_Cut here: the whole is in report.html and report.json._\n"
    fitting: list[str] = []
    room = limit - len(note.encode())
    for line in lines:
        room -= len(line.encode("utf-8", "backslashreplace")) + 1
        if room < 0:
            fitting.append(note)
            break
        fitting.append(line)
    return "\n".join(fitting).encode("utf-8", "backslashreplace") + b"\n"
