"""`timeproof capture`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

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

NAME = "capture"
HELP = "Lock an installed environment to exact files, proved against what is installed."
EXAMPLES = """\
timeproof capture lockfiles/digits                                  this interpreter's environment

timeproof capture lockfiles/old --python ~/old/.venv/bin/python     another one's
"""


def command(
    folder: Annotated[
        Path, typer.Argument(help="Where environment.yml and conda-lock.yml go: lockfiles/NAME.")
    ],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    python: Annotated[
        Path | None, typer.Option(help="The interpreter to look at; this one by default.")
    ] = None,
    without: Annotated[list[str] | None, typer.Option(help="Leave this distribution out.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a lock that is there.")] = False,
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
        found = capture(
            interpreter(python) or Path(sys.executable),
            store,
            name=folder.name,
            without=without or (),
            progress=progress,
        )
        with atomic.storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
            atomic.write(folder / "environment.yml", found.environment_yml.encode())
            atomic.write(target, found.lock.to_bytes())
        progress.close()
        packages = [
            {
                "name": p.name,
                "version": p.version,
                "manager": p.manager,
                "file": p.file_name,
                "sha256": p.sha256.hex,
            }
            for p in found.lock.packages
        ]
        if json:
            print_json(
                {
                    "folder": str(folder),
                    "lock_sha256": found.lock.digest.hex,
                    "python": found.python_version,
                    "packages": packages,
                    "left_out": [list(x) for x in found.left_out],
                }
            )
            return 0
        total = sum(store.path(p.sha256, p.file_name).stat().st_size for p in found.lock.packages)
        out.print(
            f"[bold green]locked[/bold green] {len(packages)} packages, {size(total)},"
            f" into {escape(str(target))}"
        )
        reasons: dict[str, list[str]] = {}
        for name, why in found.left_out:
            reasons.setdefault(why, []).append(name)
        for why, names in reasons.items():
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            out.print(f"  [dim]left out: {escape(shown)}: {escape(why)}[/dim]")
        return 0

    run_command(json, work)
