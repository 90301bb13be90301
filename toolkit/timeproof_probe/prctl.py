"""What a process asks of the kernel by prctl(2): to be closed to other processes, to die with its parent.

All of the probe's processes share a uid, so a hostile model could otherwise write the supervisor's
memory through /proc, and forge the outputs of other artifacts.
"""

import os
import signal
import time
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    try:
        import ctypes  # an interpreter may have been built without it

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (ImportError, OSError, AttributeError):  # no such call here: the container is the boundary
        pass


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; without that, the container's end does."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def private() -> None:
    """Close this process's memory and descriptors to others, and its settings in /proc/self to itself."""
    _prctl(_PR_SET_DUMPABLE, 0)


def readable() -> None:
    """Open it again, as a setting in /proc/self asks for. Never where a model's code may run."""
    _prctl(_PR_SET_DUMPABLE, 1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none is out of sight."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_after(seconds: float) -> None:
    """End this process, and with it its children, when its time is over, if no host has ended it before.

    A handler, because the first process of a PID namespace ignores what it doesn't handle.
    """
    until = time.monotonic() + seconds

    def end(_number: int, _frame: Any) -> None:
        if time.monotonic() >= until:  # a model may send the signal, too
            os._exit(124)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
