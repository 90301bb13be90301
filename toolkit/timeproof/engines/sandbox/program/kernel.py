"""What the sandbox asks of the kernel, by the C library: namespaces, mounts, privileges. Decides nothing."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from contextlib import suppress
from typing import Any

NEWNS, NEWUTS, NEWIPC, NEWUSER = 0x00020000, 0x04000000, 0x08000000, 0x10000000
NEWPID, NEWNET = 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
REC, PRIVATE = 1 << 14, 1 << 18

_LIBC = ctypes.CDLL(None, use_errno=True)
_DETACH = 2
_MOUNT_FLAGS = {1: 1, 2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}  # by statvfs's flags
_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 24, 38
_CAPABILITIES = 64  # more than there are
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}


class Failed(Exception):
    """The sandbox can't be made, in words for people."""


class Refused(Exception):
    """The sandbox can be made, but this image can't be run in it, in words for people."""


def _call(name: str, *arguments: Any) -> None:
    if getattr(_LIBC, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def unshare(flags: int) -> None:
    _call("unshare", flags)


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    _call("mount", _bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(options))


def bind(source: str, target: str, flags: int = NOSUID | NODEV) -> None:
    """Show `source` at `target`, read-only; what was denied there before stays denied."""
    mount(source, target, None, BIND)
    present = os.statvfs(target).f_flag
    inherited = sum(flag for reported, flag in _MOUNT_FLAGS.items() if present & reported)
    mount(None, target, None, REMOUNT | BIND | RDONLY | flags | inherited)


def enter(root: str) -> None:
    """Make `root`, which is a mount, the root of all there is; what was is gone. Raises Failed."""
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise Failed(f"on {platform.machine()} the number of pivot_root is not known here")
    os.chdir(root)
    _call("syscall", ctypes.c_long(number), b".", b".")
    _call("umount2", b".", _DETACH)


def die_with_parent() -> None:
    """Have this process killed when its parent dies. A change of user undoes it."""
    _call("prctl", _PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def become_nobody(user: int) -> None:
    """Give up every privilege, and the way to any."""
    with suppress(OSError):  # the kernel refuses the first number that is no capability
        for capability in range(_CAPABILITIES):
            _call("prctl", _CAPBSET_DROP, capability, 0, 0, 0)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    version_3 = struct.pack("II", 0x20080522, 0)
    _call("capset", version_3, bytes(24))
    _call("prctl", _NO_NEW_PRIVS, 1, 0, 0, 0)
