"""Wait for what must come, however busy the machine is: no test knows how long anything takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

# A hang guard, never a measure: no step that works takes so long, on however busy a machine.
HANG_SECONDS = 600


def wait_until(condition: Callable[[], object], explain: Callable[[], str] = lambda: "") -> None:
    """Look again and again until `condition` holds.

    Args:
        explain: what stands in the failure, read when the hang guard has run out.
    """
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, explain() or f"waited {HANG_SECONDS} s in vain"
        time.sleep(0.02)


def wait_until_gone(pid: int) -> None:
    """Wait for a process to die; one that waits to be reaped by an init that won't is dead, too."""

    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_until(gone, lambda: f"process {pid} is still there")
