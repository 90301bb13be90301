"""`timeproof verify`"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from timeproof.cli.console import (
    ArchiveOption,
    JsonOption,
    TerminalProgress,
    open_existing,
    out,
    print_json,
    run_command,
    size,
)
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.store.verify import Report

NAME = "verify"
HELP = "Check every byte of the archive, and report all findings in one run. Loads no model."
EXAMPLES = """\
timeproof verify                            the whole archive: artifacts, environments, packages, images

timeproof verify grid-size-8/pytorch/v1     one artifact's own files
"""


def command(
    refs: Annotated[list[str] | None, typer.Argument(help="Check only the files of these artifacts.")] = None,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        begun = time.monotonic()
        report = _verify(archive, refs or (), progress)
        took = time.monotonic() - begun
        progress.close()
        if json:
            print_json(
                {
                    "ok": report.ok,
                    "files": report.files,
                    "bytes": report.bytes,
                    "artifacts": report.artifacts,
                    "environments": report.environments,
                    "findings": [f.facts() for f in report.findings],
                    "leftovers": report.leftovers,
                }
            )
        else:
            _print(report, took)
        return 0 if report.ok else 3

    run_command(json, work)


def _verify(place: Path, names: Sequence[str], progress: TerminalProgress) -> Report:
    """Verify the whole archive, or the named artifacts."""
    from timeproof.store.verify import verify

    source = open_existing(place, progress)
    refs = [source.locate(name) for name in names] or None
    with source.whole(refs, progress) as copy:
        return verify(copy, refs, progress=progress)


def _print(report: Report, seconds: float) -> None:
    for finding in report.findings:
        out.print(f"[bold red]{finding.kind}[/bold red] {escape(finding.message)}")
    if report.leftovers:
        out.print(
            f"[yellow]note:[/yellow] {len(report.leftovers)} harmless leftovers: files of interrupted"
            " writers, which the next writer removes, or packages and images that no environment names yet"
        )
    totals = (
        f"{report.artifacts} artifacts, {report.environments} environments, {report.files} files,"
        f" {size(report.bytes)} in {seconds:.1f} s"
    )
    if report.ok:
        out.print(f"[bold green]every byte is as recorded[/bold green]: {totals}")
    else:
        out.print(f"[bold red]{len(report.findings)} findings[/bold red] in {totals}")
