"""Labels that name the process that started a container, so that strays are recognised.

Only looks at /proc; what is done about a stray, each engine knows.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

LABEL = "io.timeproof.run"  # on every container that we start
OWNER = "io.timeproof.owner"  # boot, PID namespace, process and its start: no number is used twice
UNTIL = "io.timeproof.until"  # when its time is over, in seconds since 1970

_LONG_OVER = 3600.0  # seconds: clocks differ between machines, but not by that much


def _machine() -> str:
    """The boot of this machine, and our PID namespace: within them a process has one number."""
    boot = "unknown"
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = "unknown"
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return f"{boot}/{namespace}"


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the boot; None where no such process lives."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return ""  # it is there, and that is all we may know
    fields = line.rpartition(b")")[2].split()
    # A zombie is dead, and only waits for a parent that may never ask.
    return None if fields[0] in {b"Z", b"X"} else fields[19].decode()


def labels(timeout: float) -> dict[str, str]:
    """The labels of a container of ours that runs for at most `timeout` seconds."""
    pid = os.getpid()
    return {
        LABEL: secrets.token_hex(8),
        OWNER: f"{_machine()}/{pid}/{_started(pid)}",
        UNTIL: str(int(time.time() + timeout)),
    }


def is_stray(labels: Mapping[str, str], now: float | None = None) -> bool:
    """Whether the owner of a container with these labels is gone.

    Its owner is gone; or it can't be seen from here, and the container's time was over an hour ago. What
    an owner that lives has started is never a stray, and neither is what carries no labels of ours.
    """
    if LABEL not in labels:
        return False
    place, _, process = labels.get(OWNER, "").rpartition("/")
    place, _, pid = place.rpartition("/")
    if place == _machine() and pid.isdigit() and Path("/proc/self/stat").exists():
        started = _started(int(pid))
        return started is None or (started != "" and started != process)
    until = labels.get(UNTIL, "")
    return until.isdigit() and (time.time() if now is None else now) > int(until) + _LONG_OVER
