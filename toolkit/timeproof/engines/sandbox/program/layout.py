"""The root that the command in the sandbox sees: the image's folders, and little beside them."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timeproof.engines.sandbox.program import groups, kernel
else:
    import groups
    import kernel

_OWN = {"dev", "proc", "sys", "tmp"}  # the sandbox's, not the image's
_DEVICES = ("null", "zero", "full", "random", "urandom")
_STREAMS = (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"))
_PLAIN = kernel.NOSUID | kernel.NODEV
_INERT = _PLAIN | kernel.NOEXEC


def lay_out(spec: dict[str, Any], group: groups.Group) -> None:
    """Make the root at `spec["scratch"]`, and enter it: nothing but /tmp and /dev/shm can be written.

    Raises kernel.Failed, kernel.Refused and OSError.
    """
    new = spec["scratch"]
    kernel.unshare(kernel.NEWNS)  # now: a pivot affects every process that shares the mounts
    kernel.mount(None, "/", None, kernel.REC | kernel.PRIVATE)
    kernel.mount("root", new, "tmpfs", _PLAIN, "mode=755")
    _image_folders(spec["root"], new)
    for name in _OWN:
        os.mkdir(f"{new}/{name}")
    flags = _PLAIN if spec["programs"] else _INERT
    options = f"mode=1777,size={spec['tmp']}"
    kernel.mount("none", f"{new}/tmp", "tmpfs", flags, options)  # noqa: S108  the sandbox's own
    for source, target in spec["mounts"]:
        _mount(source, target, spec["root"], new)
    _kernel_files(new)
    if not spec["network"]:  # a process in the machine's network namespace may not mount sysfs
        _devices_files(new, group)
    kernel.mount(None, new, None, kernel.REMOUNT | kernel.BIND | kernel.RDONLY | _PLAIN)
    kernel.enter(new)
    os.chdir("/tmp")  # noqa: S108  the sandbox's own


def _image_folders(root: str, new: str) -> None:
    """Show what lies at the top of the image, read-only, but for the names that the sandbox has itself."""
    for entry in sorted(os.scandir(root), key=lambda e: e.name):
        target = f"{new}/{entry.name}"
        if entry.name in _OWN:
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), target)
            continue
        if entry.is_dir():
            os.mkdir(target)
        else:
            Path(target).touch()
        kernel.bind(entry.path, target)


def _mount(source: str, target: str, root: str, new: str) -> None:
    """Show a file or folder of the machine, read-only. Raises kernel.Refused."""
    place = new + os.path.normpath(f"/{target}")
    top = target.strip("/").split("/")[0]
    if not place.startswith(f"{new}/") or (top != "tmp" and os.path.lexists(f"{root}/{top}")):
        raise kernel.Refused(f"{target} can't be mounted: the image has that folder")
    if os.path.isdir(source):
        os.makedirs(place)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        Path(place).touch()
    kernel.bind(source, place, _PLAIN)


def _kernel_files(new: str) -> None:
    """/dev and /proc: what a container has of them."""
    kernel.mount("dev", f"{new}/dev", "tmpfs", kernel.NOSUID | kernel.NOEXEC, "mode=755")
    for name in _DEVICES:
        Path(f"{new}/dev/{name}").touch()
        kernel.mount(f"/dev/{name}", f"{new}/dev/{name}", None, kernel.BIND)
    for name, target in _STREAMS:
        os.symlink(f"/proc/self/{target}", f"{new}/dev/{name}")
    shared = f"{new}/dev/shm"  # noqa: S108  the sandbox's own
    os.mkdir(shared)
    kernel.mount("none", shared, "tmpfs", _INERT, "mode=1777,size=64m")
    kernel.mount(
        None, f"{new}/dev", None, kernel.REMOUNT | kernel.BIND | kernel.RDONLY | kernel.NOSUID | kernel.NOEXEC
    )
    kernel.mount("proc", f"{new}/proc", "proc", _INERT)
    for name in ("sys", "irq", "bus", "fs"):
        if os.path.isdir(f"{new}/proc/{name}"):
            kernel.bind(f"{new}/proc/{name}", f"{new}/proc/{name}", _INERT)
    for name in ("kcore", "keys", "timer_list", "sysrq-trigger"):
        if os.path.exists(f"{new}/proc/{name}"):
            kernel.mount("/dev/null", f"{new}/proc/{name}", None, kernel.BIND)


def _devices_files(new: str, group: groups.Group) -> None:
    """/sys: what a container has of it."""
    kernel.mount("sysfs", f"{new}/sys", "sysfs", kernel.RDONLY | _INERT)
    if os.path.isdir(f"{new}/sys/firmware"):
        kernel.mount("none", f"{new}/sys/firmware", "tmpfs", kernel.RDONLY | _INERT)
    cgroup = f"{new}/sys/fs/cgroup"
    if "" in group.folders:
        kernel.bind(str(group.folders[""]), cgroup, _INERT)
    elif "memory" in group.folders:
        kernel.mount("none", cgroup, "tmpfs", _INERT, "mode=755")
        os.mkdir(f"{cgroup}/memory")
        kernel.bind(str(group.folders["memory"]), f"{cgroup}/memory", _INERT)
        kernel.mount(None, cgroup, None, kernel.REMOUNT | kernel.BIND | kernel.RDONLY | _INERT)


def raise_loopback() -> None:
    """Give the sandbox the one interface that containers have, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
