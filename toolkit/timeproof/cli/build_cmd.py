"""`timeproof build`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from timeproof.errors import BadEnvironment

NAME = "build"
HELP = "Fetch and build environments, or rebuild them to the same digest. The build itself has no network."
EXAMPLES = """\
timeproof build lockfiles/digits                      into the archive and the engine

timeproof build captured-0123456789ab                 rebuilds it; the digests must be the recorded ones

timeproof build lockfiles/*                           builds all; failures are listed at the end

timeproof build lockfiles/* --stage build/contexts    writes contexts for 'docker buildx bake'
"""


def command(
    environments: Annotated[
        list[str],
        typer.Argument(help="Folders with a conda-lock.yml, or names of the archive's environments."),
    ],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    stage: Annotated[
        Path | None, typer.Option(help="Only fetch, and write build contexts into this folder.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every step again.")] = False,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.errors import BadEnvironment

        rows: list[dict[str, str]] = []
        failed: list[tuple[str, BadEnvironment]] = []
        for name in environments:
            try:
                if stage is not None:
                    rows.append(_stage(Path(name), archive, stage, progress))
                else:
                    rows.append(_build(name, archive, no_cache, progress))
            except BadEnvironment as error:
                if len(environments) == 1:
                    raise
                failed.append((name, error))
        progress.close()
        if json:
            failures = [{"environment": name, **error.facts()} for name, error in failed]
            print_json({"built": rows, "failed": failures})
        else:
            _print(rows, failed)
            if stage is not None and failed and rows:
                names = ",".join(row["environment"] for row in rows)
                out.print(f"to build the others: ENVIRONMENTS={escape(names)} docker buildx bake")
        return failed[0][1].exit_code if failed else 0

    run_command(json, work)


def _stage(folder: Path, archive: Path, stage: Path, progress: TerminalProgress) -> dict[str, str]:
    from timeproof.images.build_context import stage_context
    from timeproof.runs.environment_provider import read_lock_folder
    from timeproof.store.layout import Archive

    lock, _ = read_lock_folder(folder)
    context = stage / folder.resolve().name
    stage_context(Archive(archive), lock, context, folder=folder, progress=progress)
    return {"environment": context.name, "context": str(context)}


def _build(name: str, place: Path, no_cache: bool, progress: TerminalProgress) -> dict[str, str]:
    """Build a folder's environment; or rebuild the archive's environment of that name."""
    from timeproof.engines.docker import connect
    from timeproof.runs import image_provider
    from timeproof.runs.environment_provider import check_choice, choose
    from timeproof.store.remote.writable import open_to_write

    archive = open_to_write(place, progress=progress)
    check_choice(archive, name)
    engine = connect()
    record = choose(archive, name, engine_version=engine.version()["version"], progress=progress)
    if Path(name).is_dir():
        provided = image_provider.provide(engine, archive, record, progress=progress)
    else:
        provided = image_provider.provide(
            engine, archive, record, mode="rebuild", no_cache=no_cache, progress=progress
        )
    return {
        "environment": record.folder,
        "image": provided.source,
        "manifest": record.image.manifest,
        "config": record.image.config,
        "layers": str(len(record.image.diff_ids)),
    }


def _print(rows: list[dict[str, str]], failed: list[tuple[str, BadEnvironment]]) -> None:
    for row in rows:
        if "context" in row:
            place = f"{row['environment']} in {row['context']}"
            out.print(f"[bold green]staged[/bold green] {escape(place)}")
        else:
            out.print(
                f"[bold green]{row['image']}[/bold green] {row['environment']}: {row['layers']} layers,"
                f" manifest {row['manifest']}"
            )
    for name, error in failed:
        out.print(f"[bold red]not built[/bold red] {escape(name)}: {escape(error.message)}")
        if error.advice:
            out.print(f"  {escape(error.advice)}")
