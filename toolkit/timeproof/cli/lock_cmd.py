"""`timeproof lock`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

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
    from timeproof.environments.solve.allowed import Allowed

NAME = "lock"
HELP = "Solve an environment.yml into a conda-lock.yml with conda-lock, and show the changes."
EXAMPLES = """\
timeproof lock lockfiles/digits

timeproof lock lockfiles/digits --platform linux-64 --platform osx-arm64

timeproof lock lockfiles/digits --python python3.11      takes the interpreter from this machine

timeproof lock lockfiles/digits --python python3.11 --check    only shows the changes

timeproof lock foreign --allow-url mypackage          accepts the address of one requirement
"""


def _read_earlier(path: Path) -> Lock | None:
    """Read the lock that will be replaced; None where it is absent or can't be read."""
    from timeproof.environments.lock.reading import read_lock
    from timeproof.errors import BadArchive, BadEnvironment

    try:
        return read_lock(path.read_bytes(), path)
    except (FileNotFoundError, BadArchive, BadEnvironment):
        return None


def _print_changes(changes: tuple[Change, ...]) -> None:
    from timeproof.cli.render.shapes import rows_under

    table = rows_under("package", "change", "was", "is now", fold=True)
    for change in changes:
        was, now = change.labels()
        colour = {"added": "green", "removed": "red"}.get(change.kind, "yellow")
        name = f"{change.package.name} [dim]{escape(change.package.platform)}[/dim]"
        table.add_row(name, f"[{colour}]{change.kind}[/{colour}]", escape(was), escape(now))
    out.print(table)


def command(
    folder: Annotated[Path, typer.Argument(help="A folder with environment.yml.")],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    platform: Annotated[
        list[str] | None,
        typer.Option(help="conda's name of a platform. Repeatable: one lock then holds all of them."),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(help="Take this interpreter as the environment's Python, and solve only the pip part."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write no lock; exit with 1 if it would differ from the existing one."),
    ] = False,
    allow_url: Annotated[
        list[str] | None,
        typer.Option(
            help="A distribution whose requirement may be an address, from which it may be built. Repeatable."
        ),
    ] = None,
    allow_repository: Annotated[
        list[str] | None,
        typer.Option(help="A package repository that the file may name, spelled as in the file. Repeatable."),
    ] = None,
    allow_variable: Annotated[
        list[str] | None,
        typer.Option(help="An environment variable that addresses in the file may contain. Repeatable."),
    ] = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.base import atomic
        from timeproof.environments.lock.difference import differences
        from timeproof.environments.solve.allowed import Allowed

        path = folder / "conda-lock.yml"
        before = _read_earlier(path)
        allowed = Allowed(
            frozenset(allow_url or ()), frozenset(allow_repository or ()), frozenset(allow_variable or ())
        )
        lock = _solve(folder, archive, platform or [], python, allowed, progress)
        changes = None if before is None else differences(before, lock)
        if not check:
            with atomic.storage(folder):
                atomic.write(path, lock.to_bytes())
        progress.close()
        if json:
            print_json(_as_json(lock, path, changes, written=not check))
        else:
            _print(lock, path, changes, written=not check)
        return int(check and changes != ())

    run_command(json, work)


def _solve(
    folder: Path,
    archive: Path,
    platforms: list[str],
    python: Path | None,
    allowed: Allowed,
    progress: TerminalProgress,
) -> Lock:
    """Solve the folder's environment.yml. Raises NotFound and BadRequest."""
    from timeproof.environments.solve.flow import solve
    from timeproof.environments.solve.from_interpreter import lock_from_interpreter
    from timeproof.errors import BadRequest, NotFound
    from timeproof.store.layout import Archive
    from timeproof.store.packages import PackageStore

    request = folder / "environment.yml"
    if not request.is_file():
        raise NotFound(f"there is no {request}", advice="write it, with name, channels and dependencies")
    store = PackageStore(Archive(archive).packages)
    if python is None:
        return solve(folder, store, platforms or ["linux-64"], progress, allowed=allowed)
    if platforms:
        raise BadRequest("--python locks this machine's platform only", advice="leave --platform out")
    return lock_from_interpreter(request, interpreter(python) or python, store, progress, allowed=allowed)


def _as_json(lock: Lock, path: Path, changes: tuple[Change, ...] | None, *, written: bool) -> dict[str, Any]:
    return {
        "lock": str(path),
        "lock_sha256": lock.digest.hex,
        "dated": lock.dated,
        "platforms": list(lock.platforms),
        "packages": len(lock.packages),
        "written": written,
        "changes": None if changes is None else [change.to_json() for change in changes],
    }


def _print(lock: Lock, path: Path, changes: tuple[Change, ...] | None, *, written: bool) -> None:
    if changes:
        _print_changes(changes)
    same = "" if changes is None else f", {len(changes)} changed" if changes else ", the same as before"
    word = "locked" if written else "would lock"
    out.print(
        f"[bold green]{word}[/bold green] {len(lock.packages)} packages for"
        f" {', '.join(lock.platforms)} into {escape(str(path))}{same}"
    )
