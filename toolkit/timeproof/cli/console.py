"""What every command shares: the console, the progress on it, the options, and the form of an error."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from timeproof.base import strictjson
from timeproof.errors import StorageFailed, TimeproofError

if TYPE_CHECKING:
    from timeproof.store.layout import Archive

ArchiveOption = Annotated[
    Path,
    typer.Option(
        "--archive",
        "-a",
        help="The archive's folder, or its address: s3://bucket/models (other kinds are only read).",
        envvar="TIMEPROOF_ARCHIVE",
        show_default=True,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document to stdout, and nothing else.")
]
ReportOption = Annotated[
    list[str] | None,
    typer.Option(
        "--report",
        metavar="FORMAT[:PATH]",
        help="Write this report: json, html, junit, markdown or terminal. Repeatable. PATH - is stdout;"
        " without PATH it is the format's own file.",
    ),
]
RegistryOption = Annotated[
    str,
    typer.Option(
        "--registry",
        help="HOST/NAME in an OCI registry, from which images are pulled by digest.",
        envvar="TIMEPROOF_REGISTRY",
        show_default=False,
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        help="docker, podman (no daemon), or none (no engine: a weaker sandbox). By default the"
        " engine that answers at a Docker socket.",
        envvar="TIMEPROOF_ENGINE",
    ),
]


def _console(stderr: bool) -> Console:
    """Make a console. It wraps lines on a terminal only: logs and pipes keep whole lines."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, soft_wrap=not terminal, width=None if terminal else 200)


out = _console(stderr=False)
err = _console(stderr=True)


class TerminalProgress:
    """Shows steps on stderr: a spinner on a terminal, else plain lines. A step over 2 s leaves a line."""

    def __init__(self) -> None:
        self._live = err.is_terminal
        self._status = err.status("", spinner="dots") if self._live else None
        self._step = ""
        self._begun = 0.0

    def _end(self) -> None:
        took = time.monotonic() - self._begun
        if self._step and took > 2.0:
            err.print(f"[dim]{escape(self._step)} ({took:.0f} s)[/dim]")
        self._step = ""

    def step(self, title: str) -> None:
        self._end()
        self._step, self._begun = title, time.monotonic()
        if self._status is not None:
            self._status.update(escape(title))
            self._status.start()
        elif not self._live:
            err.print(f"[dim]{escape(title)} …[/dim]")

    def detail(self, words: str) -> None:
        if self._status is not None:
            took = time.monotonic() - self._begun
            self._status.update(f"{escape(self._step)} [dim]{took:.0f} s  {escape(words[:60])}[/dim]")

    def note(self, message: str) -> None:
        err.print(f"[yellow]note:[/yellow] {escape(message)}")

    def close(self) -> None:
        self._end()
        if self._status is not None:
            self._status.stop()


@contextmanager
def progress() -> Iterator[TerminalProgress]:
    terminal = TerminalProgress()
    try:
        yield terminal
    finally:
        terminal.close()


def interpreter(path: Path | None) -> Path | None:
    """Return the interpreter that `--python` names: a path, or a command that is on PATH."""
    if path is None or path.exists() or len(path.parts) != 1:
        return path
    return Path(shutil.which(str(path)) or path)


def open_existing(address: Path, progress: TerminalProgress) -> Archive:
    """Open an archive to read it, wherever it is. Raises NotFound where it is not there."""
    from timeproof.store.remote.mirror import open_archive

    archive = open_archive(address, progress=progress)
    archive.require()
    return archive


def print_json(value: Any) -> None:
    """Write one JSON document to stdout, in the archive's own form of JSON."""
    sys.stdout.write(strictjson.dumps(value).decode())
    sys.stdout.flush()


@contextmanager
def reporting_errors(as_json: bool) -> Iterator[None]:
    """Turn an error into a message (or a JSON document) and its exit code."""
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
    """Do a command's work, report its errors, and exit with its code."""
    with reporting_errors(as_json), progress() as terminal:
        code = work(terminal)
    raise typer.Exit(code)


def size(count: float) -> str:
    """Spell a number of bytes for people: `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
