"""What machine this is, for the first frame of the stream."""

import os
import platform
from typing import Any, Dict, List, Tuple


def _cpu() -> Tuple[str, List[str]]:
    """Give the processor's model name and its feature flags, as the kernel lists them."""
    model = ""
    flags: List[str] = []
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                key, _, value = line.partition(":")
                key = key.strip()
                if key in ("model name", "Processor", "CPU part") and not model:
                    model = value.strip()
                elif key in ("flags", "Features") and not flags:
                    flags = value.split()
                if model and flags:
                    break
    except OSError:
        pass
    return model or platform.machine(), sorted(flags)


def describe() -> Dict[str, Any]:
    """Give cpu, flags, kernel, libc and arch."""
    cpu, flags = _cpu()
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        libc = ""
    system = os.uname()
    return {
        "cpu": cpu,
        "flags": flags,
        "kernel": "{} {}".format(system.sysname, system.release),
        "libc": libc,
        "arch": system.machine,
    }
