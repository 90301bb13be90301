"""`timeproof build`"""

from __future__ import annotations

from pathlib import Path
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
)
from timeproof.store.layout import DEFAULT_ARCHIVE

NAME = "build"
HELP = "Fetch and build environments, without a network in the build; or rebuild them to the same digest."
EXAMPLES = """\
timeproof build lockfiles/digits                      into the archive and the engine

timeproof build captured-0123456789ab                 rebuilds it, and requires the recorded digests

timeproof build lockfiles/*                           all of them; what can't be built is named at the end

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
    def build(name: str, progress: TerminalProgress) -> dict[str, str]:
        from timeproof.engines.docker import connect
        from timeproof.images.build import stage_context
        from timeproof.runs import image_provider
        from timeproof.runs.environment_provider import by_name, from_lock_folder, read_lock_folder
        from timeproof.store.layout import Archive

        there, folder = Archive(archive), Path(name)
        if stage is not None:
            lock, _ = read_lock_folder(folder)
            context = stage / folder.resolve().name
            stage_context(there, lock, context, folder=folder, progress=progress)
            return {"environment": context.name, "context": str(context)}
        engine = connect()
        if folder.is_dir():
            version = engine.version()["version"]
            record = from_lock_folder(there, folder.resolve(), engine_version=version, progress=progress)
            provided = image_provider.provide(engine, there, record, progress=progress)
        else:
            record = by_name(there, name)
            provided = image_provider.provide(
                engine, there, record, mode="rebuild", no_cache=no_cache, progress=progress
            )
        return {
            "environment": record.folder,
            "image": provided.source,
            "manifest": record.image.manifest,
            "config": record.image.config,
            "layers": str(len(record.image.diff_ids)),
        }

    def work(progress: TerminalProgress) -> int:
        from timeproof.errors import BadEnvironment

        rows: list[dict[str, str]] = []
        failed: list[tuple[str, BadEnvironment]] = []
        for name in environments:
            try:
                rows.append(build(name, progress))
            except BadEnvironment as error:
                if len(environments) == 1:
                    raise
                failed.append((name, error))
        progress.close()
        exit_code = failed[0][1].exit_code if failed else 0
        if json:
            told = [{"environment": name, **why.facts()} for name, why in failed]
            print_json({"built": rows, "failed": told})
            return exit_code
        for row in rows:
            if "context" in row:
                where = f"{row['environment']} in {row['context']}"
                out.print(f"[bold green]staged[/bold green] {escape(where)}")
            else:
                out.print(
                    f"[bold green]{row['image']}[/bold green] {row['environment']}: {row['layers']} layers,"
                    f" manifest {row['manifest']}"
                )
        for name, why in failed:
            out.print(f"[bold red]not built[/bold red] {escape(name)}: {escape(why.message)}")
            if why.advice:
                out.print(f"  {escape(why.advice)}")
        if stage is not None and failed and rows:
            names = ",".join(row["environment"] for row in rows)
            out.print(f"the others: ENVIRONMENTS={escape(names)} docker buildx bake")
        return exit_code

    run_command(json, work)
