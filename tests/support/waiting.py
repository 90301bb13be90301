"""Wait for what must come, however busy the machine is: no test knows how long anything takes."""

from __future__ import annotations

import time
from collections.abc import Callable

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
