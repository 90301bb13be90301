"""How long work tells that it goes on. Knows no terminal: the command line hands in one that does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What a flow calls while it works. Every call is cheap, and may be ignored."""

    def step(self, text: str) -> None:
        """Begin a step that may take over two seconds; it ends where the next one begins."""

    def detail(self, text: str) -> None:
        """Say what the step is doing right now, in a few words."""

    def note(self, text: str) -> None:
        """Say something that the user should still see afterwards."""


class Silent:
    """The default: nothing is said."""

    def step(self, text: str) -> None: ...

    def detail(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...


SILENT: Progress = Silent()


@contextmanager
def quiet(progress: Progress | None) -> Iterator[Progress]:
    """Give `progress`, or the silent one where there is none."""
    yield progress if progress is not None else SILENT
