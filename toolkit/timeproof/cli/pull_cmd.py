"""`timeproof pull`"""

from __future__ import annotations

from typing import Annotated, Any

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

NAME = "pull"
HELP = "Pull artifacts from an OCI registry into an archive, with all that a replay without a network needs."
EXAMPLES = """\
timeproof pull registry.example.org/models:grid-size-8-pytorch-v1

timeproof pull 127.0.0.1:5000/models@sha256:0123… --archive /mnt/models     a digest, not a tag that may move

Every byte is hashed before it is used. The credentials are those of 'docker login', or
TIMEPROOF_REGISTRY_USER and TIMEPROOF_REGISTRY_PASSWORD.
"""


def command(
    references: Annotated[
        list[str],
        typer.Argument(help="HOST/NAME:TAG or HOST/NAME@sha256:DIGEST, as 'timeproof push' prints them."),
    ],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.store.registry.client import Registry
        from timeproof.store.registry.pulling import pull_artifact
        from timeproof.store.registry.reference import parse_reference
        from timeproof.store.remote.writable import open_to_write

        named = [parse_reference(text) for text in references]
        target = open_to_write(archive, progress=progress)
        target.check_place()
        rows: list[dict[str, Any]] = []
        for repository, name in named:
            with Registry(repository) as remote:
                pulled = pull_artifact(remote, target, name, progress=progress)
            rows.append(
                {
                    "artifact": str(pulled.ref),
                    "reference": pulled.reference,
                    "bytes": pulled.bytes,
                    "there": pulled.there,
                }
            )
        progress.close()
        if json:
            print_json({"pulled": rows})
        else:
            _print(rows)
        return 0

    run_command(json, work)


def _print(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["there"]:
            out.print(f"the archive had {row['artifact']} already, the same to the byte")
        else:
            out.print(
                f"[bold green]pulled[/bold green] {row['artifact']} ({size(row['bytes'])});"
                f" 'timeproof replay {row['artifact']}' runs it"
            )
        out.print(f"  by digest: {escape(row['reference'])}")
