"""`timeproof ls`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    from timeproof.errors import BadArchive
    from timeproof.store.index import ArtifactSummary
    from timeproof.store.layout import Archive

NAME = "ls"
HELP = "List the archive's artifacts and environments."
EXAMPLES = """\
timeproof ls

timeproof ls --archive /mnt/models --json
"""


def command(archive: ArchiveOption = DEFAULT_ARCHIVE, json: JsonOption = False) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.store.index import contents

        source = open_existing(archive, progress)
        listing = contents(source, progress=progress)
        environments, unreadable = _environments(source)
        findings = [*listing.findings, *unreadable]
        artifacts = [_artifact(summary) for summary in listing.artifacts]
        if json:
            print_json(
                {
                    "artifacts": artifacts,
                    "environments": environments,
                    "findings": [finding.facts() for finding in findings],
                }
            )
        else:
            _print(artifacts, environments, findings)
        return 3 if findings else 0

    run_command(json, work)


def _artifact(summary: ArtifactSummary) -> dict[str, Any]:
    return {
        "artifact": str(summary.ref),
        "framework_version": summary.framework_version,
        "class": summary.kind,
        "environment": summary.environment,
        "created": summary.created,
        "bytes": summary.bytes,
        "tags": summary.tags,
    }


def _environments(archive: Archive) -> tuple[list[dict[str, Any]], list[BadArchive]]:
    """Every environment that can be read, and a finding for each of the others."""
    from timeproof.errors import BadArchive
    from timeproof.store.read import read_environment

    rows: list[dict[str, Any]] = []
    findings: list[BadArchive] = []
    for name in archive.environment_names():
        try:
            record = read_environment(archive, name)
        except BadArchive as error:
            findings.append(error)
            continue
        rows.append(
            {
                "environment": name,
                "packages": len(record.packages),
                "bytes": sum(p.size for p in record.packages),
                "manifest": record.image.manifest,
                "platform": record.image.platform,
                "created": record.created,
            }
        )
    return rows, findings


def _print(
    artifacts: list[dict[str, Any]], environments: list[dict[str, Any]], findings: list[BadArchive]
) -> None:
    from timeproof.cli.render.shapes import rows_under

    headings = ("artifact", "version", "class", "environment", "created", "size")
    table = rows_under(*headings, whole={"artifact"})
    for row in artifacts:
        table.add_row(
            row["artifact"],
            row["framework_version"] or "–",
            row["class"] or "–",
            row["environment"],
            row["created"],
            size(row["bytes"]),
        )
    out.print(table if artifacts else "no artifacts yet: 'timeproof archive --help' shows how to add one")
    for row in environments:
        out.print(
            f"[dim]environment {row['environment']}: {row['packages']} packages, {size(row['bytes'])},"
            f" {row['platform']}[/dim]"
        )
    for finding in findings:
        out.print(f"[bold red]{finding.kind}[/bold red] {escape(finding.message)}")
