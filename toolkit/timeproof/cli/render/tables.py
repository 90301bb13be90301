"""How results look in a terminal. Values in, text out."""

from __future__ import annotations

from collections import Counter

from rich.markup import escape
from rich.table import Table

from timeproof.cli.console import out, size
from timeproof.compare.verdict import Verdict
from timeproof.regression.reports.terminal import coloured
from timeproof.replaying.result import Replayed, Result


def _standing(one: Replayed) -> str:
    """The verdict, as a table has it: never plain `identical` where only a witness is."""
    if one.witnessed and one.witness is not None:
        return f"[cyan]identical ({one.witness.title})[/cyan]"
    return coloured(one.verdict)


def replay_table(result: Result, allowed: Verdict, *, strict: bool = False) -> None:
    """Print a row an artifact, what differs, and one line that sums up."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("artifact", "verdict", "outputs", "seconds", "image"):
        table.add_column(heading, justify="right" if heading in {"outputs", "seconds"} else "left")
    for one in result.replayed:
        outputs = f"{one.outputs} ({size(one.bytes)})" if one.outputs else "–"
        table.add_row(
            str(one.ref), _standing(one), outputs, f"{one.seconds:.2f}", escape(one.image_source or "–")
        )
    out.print(table)
    for one in result.replayed:
        if not one.ok:
            _difference(one)
    for note in result.notes:
        out.print(f"[yellow]note:[/yellow] {escape(note)}")
    counts = Counter(str(r.verdict) for r in result.replayed)
    told = ", ".join(f"{n} {v}" for v, n in sorted(counts.items(), key=lambda c: Verdict(c[0]).severity))
    if held := sum(r.witnessed for r in result.replayed):
        told += f" ({held} with an identical witness)"
    sources = Counter(result.environments.values())
    images = ", ".join(f"{n} {s}" for s, n in sorted(sources.items())) or "none"
    passed = result.passes(allowed, strict=strict)
    mark = "[bold green]passed[/bold green]" if passed else "[bold red]failed[/bold red]"
    out.print(f"\n{mark}: {len(result.replayed)} replayed: {told} · images: {images}")


def _difference(one: Replayed) -> None:
    """Say what is known of one answer that is not the recorded one."""
    said = one.sentence()
    verdict, _, rest = said.partition(": ")
    told = f"{coloured(one.verdict)}: {escape(rest)}" if verdict == one.verdict else escape(said)
    out.print(f"\n{one.ref}: {told}")
    if one.witnessed:
        out.print(f"  native: {coloured(one.verdict)}: {escape(one.reason)}")
    for note in one.notes:
        out.print(f"  {escape(note)}")
    if one.tried:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("  tried", "verdict", "", "seconds"):
            table.add_column(heading, justify="right" if heading == "seconds" else "left")
        for way in one.tried:
            verdict = coloured(way.verdict) if way.verdict is not None else "–"
            table.add_row(f"  {escape(way.way)}", verdict, escape(way.summary), f"{way.seconds:.2f}")
        out.print(table)
    if one.error is not None and one.error.advice:
        out.print(f"  what to do: {escape(one.error.advice)}")
    if one.log.strip() and not one.verdict.graded:
        for line in one.log.strip().splitlines()[-8:]:
            out.print(f"  [dim]| {escape(line)}[/dim]")
