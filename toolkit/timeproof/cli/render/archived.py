"""How a freshly archived artifact looks in a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from timeproof.cli.console import out
from timeproof.sealing.flow import Archived
from timeproof.store.portability import promise


def archived_json(archived: Archived) -> dict[str, Any]:
    """The result as plain values."""
    return {
        "artifact": str(archived.ref),
        "path": archived.place or str(archived.path),
        "own": None if archived.own is None else str(archived.own.verdict),
        "remarks": list(archived.remarks),
        "metadata": archived.metadata.model_dump(mode="json", by_alias=True),
    }


def print_archived(archived: Archived, *, expected: bool) -> None:
    """Print the artifact's name, and what its user should know.

    Args:
        expected: whether the user gave the expected outputs.
    """
    place = archived.place or str(archived.path)
    out.print(f"[bold green]sealed[/bold green] {archived.ref}  [dim]{escape(place)}[/dim]")
    for line in archived_lines(archived, expected=expected):
        out.print(f"  {line}")


def archived_lines(archived: Archived, *, expected: bool) -> Iterator[str]:
    """Say what the user should know, one fact a line, as Rich's markup."""
    metadata = archived.metadata
    if archived.own is not None and not archived.remarks:
        whose = "the expected answer" if expected else "your process's own answer"
        yield f"{whose}: identical"
    if archived.own is None and not archived.remarks:
        yield "[dim]no answer of yours was compared: give one with --expected[/dim]"
    for remark in archived.remarks:
        yield f"[yellow]{escape(remark)}[/yellow]"
    for copy in metadata.copies:
        distance = f"{copy.distance.verdict}: {copy.distance.sentence}"
        yield f"{escape(copy.name)} copy: {escape(distance)}"
    if metadata.proofs:
        yield f"{escape(metadata.profile.name)}: {escape(promise(metadata))}"
    for witness in metadata.witnesses:
        measured = witness.facts.distance
        summary = f": the answer {measured.summary}" if measured else ""
        yield f"{witness.kind} witness{escape(summary)}"
    for reason in metadata.kept:
        yield f"[yellow]kept on request:[/yellow] {escape(reason)}"
    for note in metadata.notes:
        if note not in archived.remarks:
            yield f"[yellow]note:[/yellow] {escape(note)}"
