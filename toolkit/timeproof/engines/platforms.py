"""Which platforms an engine runs by itself, and which by emulation."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_HANDLERS = Path("/proc/sys/fs/binfmt_misc")
_NAMES = {"x86_64": "amd64", "x64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def architecture(name: str) -> str:
    """An architecture as OCI spells it: `amd64` for `x86_64`, `arm64` for `aarch64`."""
    return _NAMES.get(name.lower(), name.lower())


def emulated(engine: str, platform: str) -> bool:
    """Whether an engine of that architecture has to emulate images of `platform` (`linux/amd64`).

    >>> emulated("aarch64", "linux/amd64"), emulated("x86_64", "linux/amd64"), emulated("?", "linux/arm64/v8")
    (True, False, False)
    """
    wanted = platform.partition("/")[2].partition("/")[0]
    native = architecture(engine)
    return bool(wanted) and native not in {"", "?"} and native != architecture(wanted)


def note(platform: str) -> str:
    """The note in a result whose outputs an emulator computed."""
    return f"run by the engine's emulation of {platform}"


def emulators(handlers: Path = _HANDLERS) -> list[str]:
    """The architectures whose programs this machine's kernel hands to qemu, inside containers, too."""
    architectures = []
    with suppress(OSError):
        for path in sorted(handlers.glob("qemu-*")):
            lines = path.read_text().splitlines()
            flags = next((line.partition(":")[2] for line in lines if line.startswith("flags:")), "")
            if lines[:1] == ["enabled"] and "F" in flags:  # F: the kernel holds the program open
                architectures.append(architecture(path.name.removeprefix("qemu-")))
    return architectures
