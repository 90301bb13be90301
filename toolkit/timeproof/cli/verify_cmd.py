"""`timeproof verify`"""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.markup import escape

from timeproof.cli.console import (
    ArchiveOption,
    JsonOption,
    TerminalProgress,
    out,
    print_json,
    run_command,
    size,
)
from timeproof.store.layout import DEFAULT_ARCHIVE

NAME = "verify"
HELP = "Check every byte of the archive, and tell all findings in one run. Loads nothing."
EXAMPLES = """\
timeproof verify                            the whole archive: artifacts, environments, packages, images

timeproof verify grid-size-8/pytorch/v1     one artifact's own files
"""


def command(
    refs: Annotated[list[str] | None, typer.Argument(help="Only these artifacts' own files.")] = None,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.store.remote.mirror import open_archive
        from timeproof.store.verify import verify

        there = open_archive(archive, progress=progress)
        there.require()
        begun = time.monotonic()
        chosen = [there.locate(r) for r in refs] if refs else None
        with there.whole(chosen, progress) as every:
            report = verify(every, chosen, progress=progress)
            for finding in report.findings:  # a copy is named after what it is a copy of
                finding.message = finding.message.replace(str(every.root), there.name)
                finding.path = finding.path.replace(str(every.root), there.name)
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
            return 0 if report.ok else 3
        for finding in report.findings:
            out.print(f"[bold red]{finding.kind}[/bold red] {escape(finding.message)}")
        if report.leftovers:
            out.print(
                f"[yellow]note:[/yellow] {len(report.leftovers)} leftovers of interrupted writers, harmless;"
                " the next writer removes them"
            )
        told = (
            f"{report.artifacts} artifacts, {report.environments} environments, {report.files} files,"
            f" {size(report.bytes)} in {took:.1f} s"
        )
        if report.ok:
            out.print(f"[bold green]every byte is as recorded[/bold green]: {told}")
            return 0
        out.print(f"[bold red]{len(report.findings)} findings[/bold red] in {told}")
        return 3

    run_command(json, work)
