"""`timeproof build`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from timeproof.cli.console import (
    DEFAULT_ARCHIVE,
    ArchiveOption,
    JsonOption,
    TerminalProgress,
    out,
    print_json,
    run_command,
)

NAME = "build"
HELP = "Fetch and build environments, without a network in the build; or rebuild them to the same digest."
EXAMPLES = """\
timeproof build lockfiles/digits                      into the archive and the engine

timeproof build captured-0123456789ab                 rebuilds it, and requires the recorded digests

timeproof build lockfiles/* --stage build/contexts    lays out contexts for 'docker buildx bake'
"""


def command(
    environments: Annotated[
        list[str], typer.Argument(help="Folders of lockfiles/, or the archive's own names.")
    ],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    stage: Annotated[Path | None, typer.Option(help="Only fetch, and lay out build contexts here.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every step again.")] = False,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.archive.layout import Archive
        from timeproof.engine.containers import connect
        from timeproof.image.build import stage_context
        from timeproof.replay import images
        from timeproof.replay.choosing import by_name, from_lock_folder, read_lock_folder

        there = Archive(archive)
        rows = []
        for name in environments:
            folder = Path(name)
            if stage is not None:
                lock, _ = read_lock_folder(folder)
                context = stage_context(there, lock, stage / folder.name, progress=progress)
                rows.append({"environment": folder.name, "context": str(context)})
                continue
            engine = connect()
            if folder.is_dir():
                version = engine.version()["version"]
                record = from_lock_folder(there, folder.resolve(), engine_version=version, progress=progress)
                provided = images.provide(engine, there, record, progress=progress)
            else:
                record = by_name(there, name)
                provided = images.provide(
                    engine, there, record, mode="rebuild", no_cache=no_cache, progress=progress
                )
            rows.append(
                {
                    "environment": record.folder,
                    "image": provided.source,
                    "manifest": record.image.manifest,
                    "config": record.image.config,
                    "layers": str(len(record.image.diff_ids)),
                }
            )
        progress.close()
        if json:
            print_json({"built": rows})
            return 0
        for row in rows:
            if "context" in row:
                where = f"{row['environment']} in {row['context']}"
                out.print(f"[bold green]staged[/bold green] {escape(where)}")
            else:
                out.print(
                    f"[bold green]{row['image']}[/bold green] {row['environment']}: {row['layers']} layers,"
                    f" manifest {row['manifest']}"
                )
        return 0

    run_command(json, work)
