"""The formats of a report, each a function of the one report: `render(report) -> bytes`. No IO here.

A format is added here, and nowhere else: `--report` of both commands, and what `regress` writes by itself,
take it from this table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from timeproof.errors import BadRequest
from timeproof.regression.report import Report
from timeproof.regression.reports.html import render_html
from timeproof.regression.reports.junit import render_junit
from timeproof.regression.reports.markdown import render_markdown
from timeproof.regression.reports.terminal import render_terminal


class Renderer(Protocol):
    """Gives one form of a report. Equal reports give equal bytes."""

    def __call__(self, report: Report, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One form of a report: its name on the command line, the file that it goes into, how it is made."""

    name: str
    file: str
    render: Renderer


def render_json(report: Report) -> bytes:
    """Give `report.json`: the report itself, as `Report.parse` reads it."""
    return report.to_bytes()


FORMATS = {
    format.name: format
    for format in (
        Format("json", "report.json", render_json),
        Format("html", "report.html", render_html),
        Format("junit", "junit.xml", render_junit),
        Format("markdown", "summary.md", render_markdown),
        Format("terminal", "report.txt", render_terminal),
    )
}
BY_DEFAULT = ("json", "html", "junit", "markdown")  # what `regress` writes where nothing is named


@dataclass(frozen=True, slots=True)
class Target:
    """One report to be made, and where it goes; `path` None is stdout."""

    format: Format
    path: Path | None


def takes_stdout(targets: Sequence[Target]) -> bool:
    """Whether one of the reports goes to stdout, which then holds nothing else."""
    return any(target.path is None for target in targets)


def targets_of(words: Sequence[str], folder: Path) -> list[Target]:
    """Read `FORMAT[:PATH]`, several times; without PATH it is the format's own file in `folder`.

    A PATH of `-` is stdout. Raises BadRequest: no such format, an empty path, or two reports in one place.
    """
    targets: list[Target] = []
    for word in words:
        name, colon, path = word.partition(":")
        if name not in FORMATS:
            raise BadRequest(f"there is no report {name!r}", advice=f"there are: {', '.join(FORMATS)}")
        if colon and not path:
            raise BadRequest(f"--report {word}: there is no path after the colon")
        format = FORMATS[name]
        place = None if path == "-" else Path(path) if path else folder / format.file
        if any(t.path == place for t in targets):
            raise BadRequest(f"--report {word}: another report goes there already")
        targets.append(Target(format, place))
    return targets
