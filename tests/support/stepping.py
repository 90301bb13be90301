"""A writer in a thread that is let on step by step, a step being one change of the file system."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest

CHANGES = ("rename", "link", "unlink", "rmdir", "mkdir")
_HANG = 120.0  # seconds after which a test is taken to hang


class Stepped:
    """Runs `work` in a thread; under `paused_changes` it waits before each change until `step` lets it on."""

    by_thread: ClassVar[dict[threading.Thread, Stepped]] = {}

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._turn = threading.Semaphore(0)
        self._waiting = threading.Semaphore(0)  # the writer stands before a change, or has ended
        self.ended = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error
        finally:
            self.ended = True
            self._waiting.release()

    def pause(self) -> None:
        """Wait for the next turn; called by this writer's thread before each change."""
        self._waiting.release()
        assert self._turn.acquire(timeout=_HANG)

    def start(self) -> None:
        self.by_thread[self._thread] = self
        self._thread.start()
        assert self._waiting.acquire(timeout=_HANG)

    def step(self) -> None:
        """Let one change happen; return when the writer stands before the next one, or has ended."""
        if not self.ended:
            self._turn.release()
            assert self._waiting.acquire(timeout=_HANG)

    def finish(self) -> None:
        while not self.ended:
            self.step()
        self._thread.join()
        self.by_thread.pop(self._thread, None)
        if self.error is not None:
            raise self.error


@contextmanager
def paused_changes() -> Iterator[None]:
    """Let every stepped writer wait before each change, for as long as this holds."""

    def paused(call: Callable[..., object]) -> Callable[..., object]:
        def pause_and_call(*words: object, **named: object) -> object:
            writer = Stepped.by_thread.get(threading.current_thread())
            if writer is not None:
                writer.pause()
            return call(*words, **named)

        return pause_and_call

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, paused(getattr(os, name)))
        yield


@contextmanager
def stepped(work: Callable[[], object]) -> Iterator[Stepped]:
    """Start `work` up to its first change; at the end it is let run to its end."""
    writer = Stepped(work)
    with paused_changes():
        writer.start()
        try:
            yield writer
        finally:
            writer.finish()
