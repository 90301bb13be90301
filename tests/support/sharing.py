"""What several test processes share on one machine: folders that are made once, and turns at the engine."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from timeproof.base import atomic


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """Give the folder that all workers of this run of the tests share."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Give a folder that the first worker to ask makes, and the others wait for.

    Args:
        make: fills the folder, which is there and empty.
    """
    shared = run_folder(factory) / "shared"
    with atomic.lock(shared, f"{name}.lock"):
        finished = shared / name
        if not finished.exists():
            folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=shared))
            make(folder)
            finished.symlink_to(folder.name)  # a link: what was made may hold the path of its folder
    return finished.resolve()


@contextmanager
def in_use(name: str) -> Iterator[Callable[[], bool]]:
    """Say that this process uses something; gives a question: is it the last on this machine that does?

    Whoever asks is about to leave: the answer no ends the use.
    """
    with _lock_file(f"users-of-{name}") as users:
        fcntl.flock(users, fcntl.LOCK_SH)

        def is_last() -> bool:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield is_last


@contextmanager
def turn_at_the_engine(*, alone: bool) -> Iterator[None]:
    """Wait for a turn: many tests hold one at a time, or one that takes away what the others use.

    Holds between all test processes of this user on this machine, in whatever run they are. Who waits to be
    alone is overtaken by nobody: a turn begins at the door, through which one goes at a time.
    """
    with _lock_file("engine") as engine:
        with _lock_file("door") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(engine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@contextmanager
def _lock_file(name: str) -> Iterator[int]:
    folder = Path(tempfile.gettempdir(), f"timeproof-tests-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
