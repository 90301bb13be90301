"""`timeproof capture`"""

from __future__ import annotations

import sys
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
    size,
)
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.environments.capture.flow import CapturedEnvironment

NAME = "capture"
HELP = "Lock an installed environment to exact files, and prove them against the installed ones."
EXAMPLES = """\
timeproof capture lockfiles/digits                                  the running interpreter's environment

timeproof capture lockfiles/old --python ~/old/.venv/bin/python     another interpreter's environment
"""


def command(
    folder: Annotated[
        Path,
        typer.Argument(help="The folder to write environment.yml and conda-lock.yml into: lockfiles/NAME."),
    ],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    python: Annotated[
        Path | None,
        typer.Option(help="The interpreter whose environment is captured; by default the running one."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave this distribution out. Repeatable.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing lock.")] = False,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.base import atomic
        from timeproof.environments.capture.flow import capture
        from timeproof.errors import Exists
        from timeproof.store.layout import Archive
        from timeproof.store.packages import PackageStore

        target = folder / "conda-lock.yml"
        if target.exists() and not force:
            raise Exists(target)
        store = PackageStore(Archive(archive).packages)
        captured = capture(
            interpreter(python) or Path(sys.executable),
            store,
            name=folder.name,
            without=without or (),
            progress=progress,
        )
        with atomic.storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
            atomic.write(folder / "environment.yml", captured.environment_yml.encode())
            atomic.write(target, captured.lock.to_bytes())
        progress.close()
        if json:
            print_json(_as_json(captured, folder))
        else:
            total = sum(store.path(p.sha256, p.file_name).stat().st_size for p in captured.lock.packages)
            _print(captured, target, total)
        return 0

    run_command(json, work)


def _as_json(captured: CapturedEnvironment, folder: Path) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "lock_sha256": captured.lock.digest.hex,
        "python": captured.python_version,
        "packages": [
            {
                "name": p.name,
                "version": p.version,
                "manager": p.manager,
                "file": p.file_name,
                "sha256": p.sha256.hex,
            }
            for p in captured.lock.packages
        ],
        "left_out": [list(pair) for pair in captured.left_out],
    }


def _print(captured: CapturedEnvironment, target: Path, total: int) -> None:
    out.print(
        f"[bold green]locked[/bold green] {len(captured.lock.packages)} packages, {size(total)},"
        f" into {escape(str(target))}"
    )
    reasons: dict[str, list[str]] = {}
    for name, reason in captured.left_out:
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        out.print(f"  [dim]left out: {escape(', '.join(names[:4]) + more)}: {escape(reason)}[/dim]")
