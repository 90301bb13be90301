"""`timeproof doctor`"""

from __future__ import annotations

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
    from timeproof.cli.machine_checks import Check

NAME = "doctor"
HELP = "Check what this machine can do, and say how to get what is missing."
EXAMPLES = """\
timeproof doctor

timeproof doctor --reap            removes the containers of killed runs, never those of a living one

timeproof doctor --json
"""


def command(
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    reap: Annotated[bool, typer.Option("--reap", help="Remove the containers of killed runs.")] = False,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.cli import machine_checks

        progress.step("Checking this machine")
        removed = machine_checks.reap() if reap else None
        checks = machine_checks.examine(archive)
        progress.close()
        complete = all(check.ok for check in checks if check.needed)
        if json:
            reaped = {} if removed is None else {"reaped": removed}
            print_json({"ok": complete, "checks": [_as_json(check) for check in checks], **reaped})
        else:
            _print(checks, removed, complete)
        return 0 if complete else 6

    run_command(json, work)


def _as_json(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "ok": check.ok,
        "needed": check.needed,
        "found": check.finding,
        "advice": "" if check.ok else check.advice,
    }


def _print(checks: list[Check], removed: dict[str, int] | None, complete: bool) -> None:
    for check in checks:
        absent = "[bold red]✗[/bold red]" if check.needed else "[yellow]–[/yellow]"
        mark = "[green]✓[/green]" if check.ok else absent
        out.print(f"{mark} [bold]{check.name}[/bold] {escape(check.finding)}")
        if not check.ok and check.advice:
            out.print(f"    {escape(check.advice)}")
    if removed is not None:
        out.print(f"\ncontainers of killed runs that were removed: {sum(removed.values())}")
    out.print(
        "\neverything that is needed is here"
        if complete
        else "\n[bold red]something that is needed is missing[/bold red]"
    )
