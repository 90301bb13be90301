"""A program: runs one command in namespaces of its own, as nobody, and reports how it ended.

Started by `sandbox.engine` as a child (this folder, by any Python from 3.11), with a JSON object on stdin;
standard library only. It unpacks nothing and decides nothing: the request says what to run, and within
which bounds. It needs root, or a kernel that lets users make user namespaces.

The command inherits stdout and stderr. Its first process is number 1 of its own PID namespace: when that
one ends, or this program does, or whoever started it, the kernel ends all of them.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timeproof.engines.sandbox.program import groups, kernel, layout
else:
    import groups
    import kernel
    import layout

_BROKEN = 125  # the sandbox could not be made

_FAILED, _REFUSED = b"f", b"r"  # the first letter of an error that the sandbox's first process reports

Spec = dict[str, Any]


def _limits(spec: Spec, group: groups.Group) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = spec["files"] if hard == resource.RLIM_INFINITY else min(spec["files"], hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if not group.memory:
        resource.setrlimit(resource.RLIMIT_AS, (spec["memory"], spec["memory"]))
    if not group.pids:
        resource.setrlimit(resource.RLIMIT_NPROC, (spec["pids"], spec["pids"]))


def _namespaces(user: int, network: bool) -> None:
    """Leave the machine's namespaces, but for its mounts: those the child leaves. Raises kernel.Failed."""
    flags = kernel.NEWPID | kernel.NEWIPC | kernel.NEWUTS | (0 if network else kernel.NEWNET)
    try:
        kernel.unshare(flags)
        return
    except OSError as error:
        denied = error
    uid, gid = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{user} {gid} 1")
        kernel.unshare(flags)
    except OSError as error:
        raise kernel.Failed(
            f"this kernel gives us no namespaces: {denied.strerror}; for users: {error.strerror}"
        ) from error


def _tell(errors: int, kind: bytes, error: BaseException) -> None:
    os.write(errors, kind + str(error).encode("utf-8", "replace")[:4000])


def _execute(argv: list[str], env: dict[str, str]) -> None:
    try:
        os.execve(argv[0], argv, env)  # noqa: S606  no shell is wanted
    except OSError as error:
        raise kernel.Refused(f"{argv[0]} can't be started: {error.strerror}") from error


def _inside(spec: Spec, group: groups.Group, errors: int, alive: int) -> None:
    """The first process of the sandbox. Never returns."""
    try:
        group.join()
        with suppress(OSError):
            socket.sethostname("timeproof")
        if not spec["network"]:
            layout.raise_loopback()
        layout.lay_out(spec, group)
        os.umask(0o022)
        _limits(spec, group)
        nothing = os.open("/dev/null", os.O_RDONLY)
        os.dup2(nothing, 0)
        kernel.become_nobody(spec["user"])
        kernel.die_with_parent()
        if select.select([alive], [], [], 0)[0]:
            os._exit(_BROKEN)  # the process that started us has ended
        if spec["argv"]:
            _execute(spec["argv"], spec["env"])
        os._exit(0)
    except kernel.Refused as error:
        _tell(errors, _REFUSED, error)
    except BaseException as error:
        _tell(errors, _FAILED, error)
    finally:
        os._exit(_BROKEN)


def main() -> int:
    spec: Spec = json.load(sys.stdin)
    report: dict[str, Any] = {"failed": "", "refused": "", "oom": False, "memory": False, "pids": False}
    kernel.die_with_parent()
    if os.getppid() != spec["parent"]:
        return _BROKEN
    group = groups.Group(spec["memory"], spec["pids"])
    try:
        code = _run(spec, group, report)
    except (kernel.Failed, OSError) as error:
        report["failed"], code = str(error), _BROKEN
    finally:
        report.update(oom=group.oom_kills() > 0, memory=group.memory, pids=group.pids)
        group.remove()
    Path(spec["report"]).write_text(json.dumps(report))
    return code


def _run(spec: Spec, group: groups.Group, report: dict[str, Any]) -> int:
    _namespaces(spec["user"], spec["network"])
    errors, child_errors = os.pipe()
    alive, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.close(errors)
        _inside(spec, group, child_errors, alive)
    os.close(child_errors)
    os.close(alive)

    def kill(_number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, kill)
    with os.fdopen(errors, "rb") as stream:
        kind, message = stream.read(1), stream.read().decode("utf-8", "replace")
    if kind:
        report["refused" if kind == _REFUSED else "failed"] = message
    for fd in (1, 2):
        os.close(fd)  # the sandbox's alone
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


if __name__ == "__main__":
    os._exit(main())
