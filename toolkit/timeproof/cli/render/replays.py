"""How the result of a replay looks in a terminal. Values go in, text comes out."""

from __future__ import annotations

from collections import Counter

from rich.markup import escape

from timeproof.cli.console import out, size
from timeproof.cli.render.shapes import rows_under
from timeproof.compare.verdict import Verdict
from timeproof.regression.reports.terminal import coloured
from timeproof.replaying.result import Replayed, Result

_LOG_LINES = 8  # lines of a model's own output that are printed


def replay_table(result: Result, allowed: Verdict, *, strict: bool = False) -> None:
    """Print a row for each artifact, the differences, and a summary."""
    table = rows_under("artifact", "verdict", "outputs", "seconds", "image", right={"outputs", "seconds"})
    for replayed in result.replayed:
        outputs = f"{replayed.outputs} ({size(replayed.bytes)})" if replayed.outputs else "–"
        table.add_row(
            str(replayed.ref),
            _verdict(replayed),
            outputs,
            f"{replayed.seconds:.2f}",
            escape(replayed.image_source or "–"),
        )
    out.print(table)
    for replayed in result.replayed:
        if not replayed.ok:
            _print_difference(replayed)
    for note in result.notes:
        out.print(f"[yellow]note:[/yellow] {escape(note)}")
    out.print(f"\n{summary(result, allowed, strict=strict)}")


def summary(result: Result, allowed: Verdict, *, strict: bool = False) -> str:
    """Sum up a replay in one line: passed or failed, the verdicts, and the images' sources."""
    counts = Counter(str(r.verdict) for r in result.replayed)
    gravity = sorted(counts.items(), key=lambda count: Verdict(count[0]).severity)
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in gravity)
    if witnessed := sum(r.witnessed for r in result.replayed):
        verdicts += f" ({witnessed} with an identical witness)"
    sources = Counter(result.environments.values())
    images = ", ".join(f"{n} {source}" for source, n in sorted(sources.items())) or "none"
    passed = result.passes(allowed, strict=strict)
    mark = "[bold green]passed[/bold green]" if passed else "[bold red]failed[/bold red]"
    return f"{mark}: {len(result.replayed)} replayed: {verdicts} · images: {images}"


def _verdict(replayed: Replayed) -> str:
    """The verdict for the table. Where only a witness is identical, it names the witness."""
    if replayed.witnessed and replayed.witness is not None:
        return f"[cyan]identical ({replayed.witness.title})[/cyan]"
    return coloured(replayed.verdict)


def _print_difference(replayed: Replayed) -> None:
    """Print why an artifact's outputs are not the recorded ones, as far as that is known."""
    sentence = replayed.sentence()
    verdict, _, reason = sentence.partition(": ")
    if verdict == replayed.verdict:
        sentence = f"{coloured(replayed.verdict)}: {escape(reason)}"
    else:
        sentence = escape(sentence)
    out.print(f"\n{replayed.ref}: {sentence}")
    if replayed.witnessed:
        out.print(f"  native: {coloured(replayed.verdict)}: {escape(replayed.reason)}")
    for note in replayed.notes:
        out.print(f"  {escape(note)}")
    _print_attempts(replayed)
    if replayed.error is not None and replayed.error.advice:
        out.print(f"  what to do: {escape(replayed.error.advice)}")
    if replayed.log.strip() and not replayed.verdict.graded:
        for line in replayed.log.strip().splitlines()[-_LOG_LINES:]:
            out.print(f"  [dim]| {escape(line)}[/dim]")


def _print_attempts(replayed: Replayed) -> None:
    if not replayed.tried:
        return
    table = rows_under("  tried", "verdict", "", "seconds", right={"seconds"})
    for attempt in replayed.tried:
        verdict = coloured(attempt.verdict) if attempt.verdict is not None else "–"
        table.add_row(f"  {escape(attempt.way)}", verdict, escape(attempt.summary), f"{attempt.seconds:.2f}")
    out.print(table)
