"""`timeproof ls`"""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

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

NAME = "ls"
HELP = "List the archive's artifacts and environments."
EXAMPLES = """\
timeproof ls

timeproof ls --archive /mnt/models --json
"""


def command(archive: ArchiveOption = DEFAULT_ARCHIVE, json: JsonOption = False) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.errors import BadArchive
        from timeproof.store.index import contents
        from timeproof.store.remote.mirror import open_archive
        from timeproof.store.verify import read_environment

        there = open_archive(archive, progress=progress)
        there.require()
        rows: list[dict[str, Any]] = []
        broken: list[BadArchive] = []
        listed = contents(there, progress=progress)
        broken += listed.findings
        for one in listed.artifacts:
            rows.append(
                {
                    "artifact": str(one.ref),
                    "framework_version": one.framework_version,
                    "class": one.kind,
                    "environment": one.environment,
                    "created": one.created,
                    "bytes": one.bytes,
                    "tags": one.tags,
                }
            )
        environments: list[dict[str, Any]] = []
        for name in there.environment_names():
            try:
                record = read_environment(there, name)
            except BadArchive as error:
                broken.append(error)
                continue
            environments.append(
                {
                    "environment": name,
                    "packages": len(record.packages),
                    "bytes": sum(p.size for p in record.packages),
                    "manifest": record.image.manifest,
                    "platform": record.image.platform,
                    "created": record.created,
                }
            )
        if json:
            print_json(
                {"artifacts": rows, "environments": environments, "findings": [e.facts() for e in broken]}
            )
            return 3 if broken else 0
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("artifact", "version", "class", "environment", "created", "size"):
            table.add_column(heading, no_wrap=heading == "artifact")
        for row in rows:
            table.add_row(
                row["artifact"],
                row["framework_version"] or "–",
                row["class"] or "–",
                row["environment"],
                row["created"],
                size(row["bytes"]),
            )
        out.print(table if rows else "no artifacts yet: 'timeproof archive --help' shows how to add one")
        for row in environments:
            out.print(
                f"[dim]environment {row['environment']}: {row['packages']} packages, {size(row['bytes'])},"
                f" {row['platform']}[/dim]"
            )
        for finding in broken:
            out.print(f"[bold red]{finding.kind}[/bold red] {escape(finding.message)}")
        return 3 if broken else 0

    run_command(json, work)
