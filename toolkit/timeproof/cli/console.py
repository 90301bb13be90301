"""What every command shares: where output goes, how progress looks, how an error is told."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from timeproof.base import strictjson
from timeproof.errors import StorageFailed, TimeproofError

ArchiveOption = Annotated[
    Path,
    typer.Option(
        "--archive",
        "-a",
        help="The archive's folder; to read, also an address: s3://bucket/models.",
        envvar="TIMEPROOF_ARCHIVE",
        show_default=True,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")
]
RegistryOption = Annotated[
    str,
    typer.Option(
        "--registry",
        help="HOST/NAME in an OCI registry; images are pulled from it by digest.",
        envvar="TIMEPROOF_REGISTRY",
        show_default=False,
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        help="docker, podman (no daemon), or none (no engine: a weaker box). The default is what answers"
        " at a Docker socket.",
        envvar="TIMEPROOF_ENGINE",
    ),
]


def _console(stderr: bool) -> Console:
    """A console that wraps nothing where its output is not a terminal: logs and pipes keep whole lines."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, soft_wrap=not terminal, width=None if terminal else 200)


out = _console(stderr=False)
err = _console(stderr=True)


class TerminalProgress:
    """Steps on stderr: a spinner on a terminal, plain lines elsewhere. Only steps over 2 s leave a line."""

    def __init__(self) -> None:
        self._live = err.is_terminal
        self._status = err.status("", spinner="dots") if self._live else None
        self._what = ""
        self._begun = 0.0

    def _end(self) -> None:
        took = time.monotonic() - self._begun
        if self._what and took > 2.0:
            err.print(f"[dim]{escape(self._what)} ({took:.0f} s)[/dim]")
        self._what = ""

    def step(self, what: str) -> None:
        self._end()
        self._what, self._begun = what, time.monotonic()
        if self._status is not None:
            self._status.update(escape(what))
            self._status.start()
        elif not self._live:
            err.print(f"[dim]{escape(what)} …[/dim]")

    def detail(self, what: str) -> None:
        if self._status is not None:
            took = time.monotonic() - self._begun
            self._status.update(f"{escape(self._what)} [dim]{took:.0f} s  {escape(what[:60])}[/dim]")

    def note(self, what: str) -> None:
        err.print(f"[yellow]note:[/yellow] {escape(what)}")

    def close(self) -> None:
        self._end()
        if self._status is not None:
            self._status.stop()


@contextmanager
def progress() -> Iterator[TerminalProgress]:
    shown = TerminalProgress()
    try:
        yield shown
    finally:
        shown.close()


def interpreter(named: Path | None) -> Path | None:
    """The interpreter that `--python` names: a path, or a command found on PATH."""
    if named is None or named.exists() or len(named.parts) != 1:
        return named
    return Path(shutil.which(str(named)) or named)


def print_json(value: Any) -> None:
    """Write one JSON document to stdout, as the archive spells JSON."""
    sys.stdout.write(strictjson.dumps(value).decode())
    sys.stdout.flush()


@contextmanager
def telling_errors(as_json: bool) -> Iterator[None]:
    """Turn a typed error into a message (or a JSON document) and its exit code."""
    try:
        yield
    except TimeproofError as error:
        if as_json:
            print_json(error.facts())
        else:
            err.print(f"[bold red]error[/bold red] [dim]({error.kind})[/dim] {escape(error.message)}")
            if error.advice:
                err.print(f"  [bold]what to do:[/bold] {escape(error.advice)}")
        raise typer.Exit(error.exit_code) from error
    except PermissionError as error:
        err.print(f"[bold red]error[/bold red] {escape(str(error))}")
        raise typer.Exit(StorageFailed.exit_code) from error
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def run_command(as_json: bool, work: Callable[[TerminalProgress], int]) -> None:
    """Do a command's work, and exit with its code."""
    with telling_errors(as_json), progress() as shown:
        code = work(shown)
    raise typer.Exit(code)


def size(count: float) -> str:
    """Spell a number of bytes for people: `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
