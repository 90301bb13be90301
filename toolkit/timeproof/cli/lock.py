"""`timeproof lock`"""

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
    interpreter,
    out,
    print_json,
    run_command,
)

NAME = "lock"
HELP = "Solve an environment.yml into a conda-lock.yml, with conda-lock itself."
EXAMPLES = """\
timeproof lock lockfiles/digits

timeproof lock lockfiles/digits --platform linux-64 --platform osx-arm64

timeproof lock lockfiles/digits --python python3.11      takes the interpreter from this machine
"""


def command(
    folder: Annotated[Path, typer.Argument(help="A folder with environment.yml.")],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    platform: Annotated[
        list[str] | None, typer.Option(help="conda's name of a platform; several are one lock.")
    ] = None,
    python: Annotated[
        Path | None, typer.Option(help="Take Python from this interpreter, and solve only the pip part.")
    ] = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof import atomic
        from timeproof.archive.layout import Archive
        from timeproof.environment.packages import PackageStore
        from timeproof.environment.solve import lock_from_interpreter, solve
        from timeproof.errors import BadRequest, NotFound

        asked = folder / "environment.yml"
        if not asked.is_file():
            raise NotFound(f"there is no {asked}", advice="write one: name, channels, dependencies")
        store = PackageStore(Archive(archive).packages)
        if python is not None:
            if platform:
                raise BadRequest("--python locks this machine's platform only", advice="leave --platform out")
            lock = lock_from_interpreter(asked, interpreter(python) or python, store, progress)
        else:
            lock = solve(folder, store, platform or ["linux-64"], progress)
        with atomic.storage(folder):
            atomic.write(folder / "conda-lock.yml", lock.to_bytes())
        progress.close()
        told = {
            "lock": str(folder / "conda-lock.yml"),
            "lock_sha256": lock.digest.hex,
            "platforms": list(lock.platforms),
            "packages": len(lock.packages),
        }
        if json:
            print_json(told)
        else:
            out.print(
                f"[bold green]locked[/bold green] {len(lock.packages)} packages for"
                f" {', '.join(lock.platforms)} into {escape(told['lock'])}"  # type: ignore[arg-type]  # a string
            )
        return 0

    run_command(json, work)
