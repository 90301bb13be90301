"""A report for a terminal: the grid, what fails, what changed, and one line that sums up. No IO here."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from timeproof.compare.verdict import Verdict
from timeproof.regression.report import Cell, Report
from timeproof.regression.reports.labels import gravest_first, round_trip_sentence

_WIDE = 12  # columns that a grid in a terminal has at most
_LONG = 40  # rows; a longer grid is summed up by environment
_CELLS = 20  # cells that are listed one by one, of each kind
_PLAIN_WIDTH = 200  # characters of a line that goes into a file
_COLOURS = {
    Verdict.identical: "green",
    Verdict.rounding: "cyan",
    Verdict.drift: "yellow",
    Verdict.outliers: "yellow",
}


def render_terminal(report: Report) -> bytes:
    """Give the report as plain text, without colours, whatever the terminal is."""
    text = io.StringIO()
    console = Console(file=text, highlight=False, soft_wrap=True, width=_PLAIN_WIDTH, color_system=None)
    print_report(console, report)
    return text.getvalue().encode("utf-8", "backslashreplace")


def print_report(console: Console, report: Report) -> None:
    """Print the report onto a console, with its width and its colours."""
    if len(report.artifacts) <= _LONG and len(report.environments) <= _WIDE:
        _print_grid(console, report)
    else:
        _print_counts(console, report)
    for environment in report.environments:
        if environment.failure:
            title, failure = escape(environment.title), escape(environment.failure)
            console.print(f"[bold red]{title}[/bold red] could not be had: {failure}")
    titles = {e.name: e.title for e in report.environments}
    _print_cells(console, "fails", gravest_first(c for c in report.cells if c.fails), titles)
    better = [c for c in report.cells if c.change == "better"]
    _print_cells(console, "better than the baseline", better, titles)
    _print_gone(console, report)
    _print_histories(console, report)
    for note in report.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")
    console.print(f"\n{_summary(report)}")


def coloured(verdict: Verdict) -> str:
    """A verdict in rich's markup."""
    colour = _COLOURS.get(verdict, "bold red")
    return f"[{colour}]{verdict}[/{colour}]"


def plain_table(*headings: str) -> Table:
    """A table without lines around it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading)
    return table


def _print_grid(console: Console, report: Report) -> None:
    table = plain_table("artifact", *(escape(e.title) for e in report.environments))
    for artifact in report.artifacts:
        cells = [report.grid.get((artifact.ref, e.name)) for e in report.environments]
        table.add_row(artifact.ref, *(_mark(c) for c in cells))
    console.print(table)


def _mark(cell: Cell | None) -> str:
    if cell is None:
        return "[dim]·[/dim]"
    mark = " [bold red]![/bold red]" if cell.fails else (" (expected)" if cell.expected else "")
    return coloured(cell.verdict) + mark


def _print_counts(console: Console, report: Report) -> None:
    verdicts = [v for v in Verdict if str(v) in report.counts]
    table = plain_table("environment", *(str(v) for v in verdicts))
    for environment in report.environments:
        cells = [c.verdict for c in report.cells if c.environment == environment.name]
        table.add_row(escape(environment.title), *(str(cells.count(v) or "·") for v in verdicts))
    console.print(table)


def _print_cells(console: Console, label: str, cells: Sequence[Cell], titles: dict[str, str]) -> None:
    for cell in cells[:_CELLS]:
        before = f" (was {cell.baseline})" if cell.baseline is not None else ""
        console.print(
            f"[bold]{label}:[/bold] {cell.artifact} in {escape(titles[cell.environment])}:"
            f" {coloured(cell.verdict)}{before}: {escape(cell.reason[:300])}"
        )
        if round_trip := cell.facts.get("round_trip"):
            sentence = round_trip_sentence(cell.artifact.split("/")[1], cell.versions, round_trip)
            console.print(f"[dim]  {escape(sentence[:400])}[/dim]")
    if len(cells) > _CELLS:
        console.print(f"  … and {len(cells) - _CELLS} more: see the reports")


def _print_gone(console: Console, report: Report) -> None:
    for gone in report.gone:
        console.print(
            f"[yellow]declared, and gone:[/yellow] {escape(gone.artifact)} in {escape(gone.environment)}"
            f" ({escape(gone.reason)}): {gone.found} now"
        )
    if report.absent:
        console.print(f"[yellow]note:[/yellow] {len(report.absent)} cells of the baseline were not run")


def _print_histories(console: Console, report: Report) -> None:
    histories = {a.history for a in report.artifacts if "," in a.history}
    for history in sorted(histories)[:10]:
        same = [a.ref for a in report.artifacts if a.history == history]
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        console.print(f"[dim]{escape(same[0])}{more}:[/dim] {escape(history)}")


def _summary(report: Report) -> str:
    counts = ", ".join(f"{n} {v}" for v, n in report.counts.items())
    mark = "[bold green]passed[/bold green]" if report.passed else "[bold red]failed[/bold red]"
    failing = sum(c.fails for c in report.cells)
    resumed = report.run.get("resumed") or 0
    seconds = report.run.get("seconds")
    return (
        f"{mark}: {len(report.cells)} cells: {counts}"
        + (f" · {failing} fail ({report.fail_on})" if failing else "")
        + (f" · {resumed} from the journal" if resumed else "")
        + f" · {seconds} s"
    )
