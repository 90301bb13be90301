"""How a plan and a regression look in a terminal. Values in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from timeproof.base.digests import Digest
from timeproof.cli.console import out, size
from timeproof.cli.render.tables import coloured
from timeproof.compare.verdict import Verdict
from timeproof.regression.plan import Plan
from timeproof.regression.report import Cell, Report
from timeproof.regression.reports.labels import gravest_first, round_trip_sentence

_WIDE = 12  # columns that a grid in a terminal has at most
_LONG = 40  # rows; a longer grid is summed up by framework


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading)
    return table


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain values."""
    return {
        "artifacts": len(plan.artifacts),
        "cells": plan.count(),
        "environments": [
            {
                "environment": c.title,
                "frameworks": c.frameworks,
                "dated": c.dated,
                "built": c.record is not None,
                "cells": plan.by_framework(c),
                "packages_to_fetch": len(c.missing),
                "bytes_to_fetch": _bytes(c.missing),
                "bytes_in_store": c.in_store,
            }
            for c in plan.environments
        ],
        "packages_to_fetch": len(plan.to_fetch()),
        "bytes_to_fetch": _bytes(plan.to_fetch()),
        "findings": [f.facts() for f in plan.findings],
    }


def _bytes(packages: Mapping[Digest, int | None]) -> int | None:
    """The bytes of all of them; None where a lock doesn't tell the size of one."""
    known = [n for n in packages.values() if n is not None]
    return sum(known) if len(known) == len(packages) else None


def _fetching(packages: Mapping[Digest, int | None]) -> str:
    """Say how many, and how large: "3 packages, 41.2 MB", "at least" where a lock doesn't tell all sizes."""
    known = [n for n in packages.values() if n is not None]
    least = "" if len(known) == len(packages) else "at least "
    large = f", {least}{size(sum(known))}" if known else ", of unknown size"
    return f"{len(packages)} package{'s' if len(packages) != 1 else ''}{large}"


def plan_table(plan: Plan) -> None:
    """Print a row an environment: what runs there, and what must be done before."""
    table = _table("environment", "holds", "cells", "before it can run")
    for column in plan.environments:
        held = ", ".join(f"{k} {v}" for k, v in sorted(column.frameworks.items()))
        cells = ", ".join(f"{n} {f}" for f, n in plan.by_framework(column).items())
        if column.record is not None:
            before = "[green]nothing: it is in the archive[/green]"
        elif column.missing:
            before = f"fetch {_fetching(column.missing)}; build the image"
        else:
            before = f"build the image of {size(column.in_store)} of packages"
        table.add_row(escape(column.title), escape(held), cells or "–", before)
    out.print(table)
    builds = sum(c.record is None for c in plan.environments)
    fetch = plan.to_fetch()
    out.print(
        f"\n{len(plan.artifacts)} artifacts × {len(plan.environments)} environments: {plan.count()} cells"
        f" · {builds} to build" + (f" · {_fetching(fetch)} to fetch" if fetch else "")
    )
    for finding in plan.findings:
        out.print(f"[bold red]{finding.kind}[/bold red] {escape(finding.message)}")


def report_table(report: Report, written: Sequence[Path]) -> None:
    """Print the grid, what fails, what changed, and one line that sums up."""
    if len(report.artifacts) <= _LONG and len(report.environments) <= _WIDE:
        _grid(report)
    else:
        _sums(report)
    for site in report.environments:
        if site.failure:
            out.print(f"[bold red]{escape(site.title)}[/bold red] could not be had: {escape(site.failure)}")
    titles = {s.name: s.title for s in report.environments}
    _listed("fails", gravest_first(c for c in report.cells if c.fails), titles)
    _listed("better than the baseline", [c for c in report.cells if c.change == "better"], titles)
    for gone in report.gone:
        out.print(
            f"[yellow]declared, and gone:[/yellow] {escape(gone.artifact)} in {escape(gone.environment)}"
            f" ({escape(gone.reason)}): {gone.found} now"
        )
    if report.absent:
        out.print(f"[yellow]note:[/yellow] {len(report.absent)} cells of the baseline were not run")
    histories = {s.history for s in report.artifacts if "," in s.history}
    for history in sorted(histories)[:10]:
        same = [s.ref for s in report.artifacts if s.history == history]
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        out.print(f"[dim]{escape(same[0])}{more}:[/dim] {escape(history)}")
    for note in report.notes:
        out.print(f"[yellow]note:[/yellow] {escape(note)}")
    told = ", ".join(f"{n} {v}" for v, n in report.counts.items())
    mark = "[bold green]passed[/bold green]" if report.passed else "[bold red]failed[/bold red]"
    failing = sum(c.fails for c in report.cells)
    resumed = report.run.get("resumed") or 0
    out.print(
        f"\n{mark}: {len(report.cells)} cells: {told}"
        + (f" · {failing} fail ({report.fail_on})" if failing else "")
        + (f" · {resumed} from the journal" if resumed else "")
        + f" · {report.run.get('seconds')} s"
    )
    out.print("[dim]" + " ".join(escape(str(w)) for w in written) + "[/dim]")


def _grid(report: Report) -> None:
    table = _table("artifact", *(escape(s.title) for s in report.environments))
    for subject in report.artifacts:
        cells = [report.grid.get((subject.ref, s.name)) for s in report.environments]
        table.add_row(subject.ref, *(_shown(c) for c in cells))
    out.print(table)


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return "[dim]·[/dim]"
    mark = " [bold red]![/bold red]" if cell.fails else (" (expected)" if cell.expected else "")
    return coloured(cell.verdict) + mark


def _sums(report: Report) -> None:
    verdicts = [v for v in Verdict if str(v) in report.counts]
    table = _table("environment", *(str(v) for v in verdicts))
    for site in report.environments:
        found = [c.verdict for c in report.cells if c.environment == site.name]
        table.add_row(escape(site.title), *(str(found.count(v) or "·") for v in verdicts))
    out.print(table)


def _listed(what: str, cells: Sequence[Cell], titles: dict[str, str]) -> None:
    for cell in cells[:20]:
        was = f" (was {cell.baseline})" if cell.baseline is not None else ""
        out.print(
            f"[bold]{what}:[/bold] {cell.artifact} in {escape(titles[cell.environment])}:"
            f" {coloured(cell.verdict)}{was}: {escape(cell.reason[:300])}"
        )
        if told := cell.facts.get("round_trip"):
            said = round_trip_sentence(cell.artifact.split("/")[1], cell.versions, told)
            out.print(f"[dim]  {escape(said[:400])}[/dim]")
    if len(cells) > 20:
        out.print(f"  … and {len(cells) - 20} more: see the reports")
