"""The command `timeproof`: each command is a file of its own beside this one."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated

import typer

from timeproof.version import VERSION

_EXITS = """\
Exit codes: 0 all is well · 1 the command ran, and outputs differ or a check failed · 2 bad request
· 3 bad archive (altered, missing, unlisted) · 4 bad environment (capture, lock, fetch, build, image)
· 5 bad model (can't be archived or sealed) · 6 the engine or a tool failed · 7 storage failed
· 130 interrupted.
"""

# Each is a module beside this one.
_MODULES = {
    name: f"timeproof.cli.{name}_cmd"
    for name in (
        "archive", "import", "replay", "regress", "verify", "ls", "show", "capture", "lock", "build", "push",
        "doctor",
    )
}  # fmt: skip


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"timeproof {VERSION}")
        raise typer.Exit


def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def make_app(words: Sequence[str] = ()) -> typer.Typer:
    """The command line; where `words` begin with a command, that one alone: it starts 60 ms earlier."""
    app = typer.Typer(
        name="timeproof",
        help="Archive models with their answers and their environment; replay them bit for bit.\n\n" + _EXITS,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_main,
    )
    for name in [words[0]] if words and words[0] in _MODULES else _MODULES:
        module = import_module(_MODULES[name])
        app.command(module.NAME, help=module.HELP, epilog=module.EXAMPLES)(module.command)
    return app


def run() -> None:
    """The entry point. An interruption is 130, as in every shell."""
    gc.set_threshold(50_000, 20, 20)  # imports make many objects and few cycles: half a tenth of a second
    try:
        make_app(sys.argv[1:])()
        code: object = 0
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was published\n")
        code = 130
    _leave(code if isinstance(code, int) else int(code is not None))


def _leave(code: int) -> None:
    """End at once: taking an interpreter apart costs as much again as the collector above.

    What was registered for the end still runs; where other threads do, the end is the usual one.
    """
    if threading.active_count() > 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that was closed early
            stream.flush()
    os._exit(code)
