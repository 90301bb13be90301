"""The command `timeproof`. Each of its commands is a file beside this one."""

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

_TERMS = "The terms are explained by 'timeproof glossary' (docs/glossary.md).\n\n"
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
        "archive", "import", "export", "replay", "regress", "verify", "ls", "show", "capture", "lock",
        "build", "push", "pull", "doctor", "glossary",
    )
}  # fmt: skip


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"timeproof {VERSION}")
        raise typer.Exit


def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def make_app(words: Sequence[str] = ()) -> typer.Typer:
    """Make the command line. Where `words` begin with a command, import only that one, which saves 60 ms."""
    app = typer.Typer(
        name="timeproof",
        help="Archive models with their answers and their environment; replay them bit for bit.\n\n"
        + _TERMS
        + _EXITS,
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


class _QuickExit:
    """Ends the process in its last exit function, without taking the interpreter apart: that takes 0.05 s.

    It is registered before the commands are imported, so their exit functions run first. Logging's, which was
    registered earlier and only flushes, does not run. Where other threads run, the process ends as usual.
    """

    def __init__(self) -> None:
        self.code: int | None = None  # None where `run` has not come to its end
        atexit.register(self._end)

    def _end(self) -> None:
        if self.code is None or threading.active_count() > 1:
            return
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # a pipe that was closed early
                stream.flush()
        os._exit(self.code)


def run() -> None:
    """Run the command line, and exit. An interruption gives the exit code 130, as in every shell."""
    quick_exit = _QuickExit()
    gc.set_threshold(50_000, 20, 20)  # imports make many objects and few cycles: this saves 0.05 s
    try:
        make_app(sys.argv[1:])()
        code: object = 0
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was published\n")
        code = 130
    quick_exit.code = code if isinstance(code, int) else int(code is not None)
    sys.exit(quick_exit.code)
