"""Work that is done in a child of this process, which a kill ends before one of its changes on the disk."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

CHANGES = ("mkdir", "rename", "link", "fsync", "unlink", "rmdir")


def run_killed(work: Callable[[], object], when: int) -> bool:
    """Run `work` in a forked child that is killed before its n-th change; return whether it was killed.

    Raises AssertionError where the child fails by itself.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _die_at(when)
            work()
            code = 0
        finally:
            os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL), ended
    return ended != 0


def _die_at(when: int) -> None:
    remaining = when

    def dying(call: Callable[..., object]) -> Callable[..., object]:
        def die_or_call(*words: object, **named: object) -> object:
            nonlocal remaining
            remaining -= 1
            if not remaining:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*words, **named)

        return die_or_call

    for name in CHANGES:
        setattr(os, name, dying(getattr(os, name)))
