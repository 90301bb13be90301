"""`timeproof lock`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from timeproof.cli.console import (
    ArchiveOption,
    JsonOption,
    TerminalProgress,
    interpreter,
    out,
    print_json,
    run_command,
)
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.environments.lock.difference import Change
    from timeproof.environments.lock.document import Lock

NAME = "lock"
HELP = "Solve an environment.yml into a conda-lock.yml, with conda-lock itself; show what it changes."
EXAMPLES = """\
timeproof lock lockfiles/digits

timeproof lock lockfiles/digits --platform linux-64 --platform osx-arm64

timeproof lock lockfiles/digits --python python3.11      takes the interpreter from this machine

timeproof lock lockfiles/digits --python python3.11 --check    only shows what would change

timeproof lock foreign --allow-url mypackage          trusts one requirement that is an address
"""


def _there(path: Path) -> Lock | None:
    """The lock that is there; one that can't be read is as good as none, since it is made anew."""
    from timeproof.environments.lock.reading import read_lock
    from timeproof.errors import BadArchive, BadEnvironment

    try:
        return read_lock(path.read_bytes(), path)
    except (FileNotFoundError, BadArchive, BadEnvironment):
        return None


def _table(changes: tuple[Change, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("package", "change", "was", "is now"):
        table.add_column(heading, overflow="fold")
    for change in changes:
        was, now = change.shown()
        colour = {"added": "green", "removed": "red"}.get(change.kind, "yellow")
        name = f"{change.package.name} [dim]{escape(change.package.platform)}[/dim]"
        table.add_row(name, f"[{colour}]{change.kind}[/{colour}]", escape(was), escape(now))
    return table


def command(
    folder: Annotated[Path, typer.Argument(help="A folder with environment.yml.")],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    platform: Annotated[
        list[str] | None, typer.Option(help="conda's name of a platform; several are one lock.")
    ] = None,
    python: Annotated[
        Path | None, typer.Option(help="Take Python from this interpreter, and solve only the pip part.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write no lock: exit 1 if it would differ from the one there.")
    ] = False,
    allow_url: Annotated[
        list[str] | None,
        typer.Option(help="A distribution whose requirement may be an address; it may be built. Repeatable."),
    ] = None,
    allow_repository: Annotated[
        list[str] | None,
        typer.Option(help="A package repository that the file may name, as written there. Repeatable."),
    ] = None,
    allow_variable: Annotated[
        list[str] | None,
        typer.Option(help="An environment variable that addresses in the file may hold. Repeatable."),
    ] = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.base import atomic
        from timeproof.environments.lock.difference import differences
        from timeproof.environments.solve.allowed import Allowed
        from timeproof.environments.solve.flow import lock_from_interpreter, solve
        from timeproof.errors import BadRequest, NotFound
        from timeproof.store.layout import Archive
        from timeproof.store.packages import PackageStore

        asked, path = folder / "environment.yml", folder / "conda-lock.yml"
        if not asked.is_file():
            raise NotFound(f"there is no {asked}", advice="write one: name, channels, dependencies")
        before = _there(path)
        allowed = Allowed(
            frozenset(allow_url or ()), frozenset(allow_repository or ()), frozenset(allow_variable or ())
        )
        store = PackageStore(Archive(archive).packages)
        if python is not None:
            if platform:
                raise BadRequest("--python locks this machine's platform only", advice="leave --platform out")
            lock = lock_from_interpreter(
                asked, interpreter(python) or python, store, progress, allowed=allowed
            )
        else:
            lock = solve(folder, store, platform or ["linux-64"], progress, allowed=allowed)
        changes = None if before is None else differences(before, lock)
        if not check:
            with atomic.storage(folder):
                atomic.write(path, lock.to_bytes())
        progress.close()
        exit_code = int(check and changes != ())
        told = {
            "lock": str(path),
            "lock_sha256": lock.digest.hex,
            "dated": lock.dated,
            "platforms": list(lock.platforms),
            "packages": len(lock.packages),
            "written": not check,
            "changes": None if changes is None else [change.told() for change in changes],
        }
        if json:
            print_json(told)
            return exit_code
        if changes:
            out.print(_table(changes))
        same = "" if changes is None else f", {len(changes)} changed" if changes else ", the same as before"
        word = "would lock" if check else "locked"
        out.print(
            f"[bold green]{word}[/bold green] {len(lock.packages)} packages for"
            f" {', '.join(lock.platforms)} into {escape(str(path))}{same}"
        )
        return exit_code

    run_command(json, work)
