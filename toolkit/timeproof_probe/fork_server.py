"""A process that imports one framework once, and then forks a child for each artifact.

It exchanges packets of one JSON object with the supervisor, over a SOCK_SEQPACKET socket. It never reads a
model's bytes, so that only an import can harm it.
"""

import array
import json
import os
import socket
import sys
from typing import Any, Dict, List, Tuple

from timeproof_probe import child, loaders, prctl, wire
from timeproof_probe.file_checks import Refused

PACKET = 65536  # bytes; a packet holds a reason at most


def send(control: socket.socket, message: Dict[str, Any]) -> None:
    control.send(json.dumps(message).encode("ascii"))


def send_with(control: socket.socket, message: Dict[str, Any], fds: List[int]) -> None:
    """Send `message` and with it the descriptors `fds`."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    control.sendmsg([json.dumps(message).encode("ascii")], rights)


def _receive(control: socket.socket) -> Tuple[Dict[str, Any], List[int]]:
    """Wait for the next packet; an empty object means that the supervisor has ended."""
    fds = array.array("i")
    data, ancillary, _, _ = control.recvmsg(PACKET, socket.CMSG_SPACE(4 * fds.itemsize))
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
    return (json.loads(data.decode("ascii")) if data else {}), list(fds)


def only_descriptors(keep: Dict[int, int]) -> None:
    """Leave this process with the descriptors `keep` (number wanted: number now), and close all others.

    Above all, no process but the supervisor may have the real stdout.
    """
    high = {}
    for wanted, now in keep.items():
        moved = os.dup(now)
        while moved <= max(keep):  # out of the way of what is put in place below
            moved = os.dup(moved)
        high[wanted] = moved
    for wanted, moved in high.items():
        os.dup2(moved, wanted)
        os.set_inheritable(wanted, wanted <= 2)
    limit = os.sysconf("SC_OPEN_MAX")
    try:
        present = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        present = list(range(min(limit, 65536)))
    for fd in present:
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:
                pass


def _warm(framework: str) -> Dict[str, Any]:
    try:
        loaders.load(framework).warm()
        child.warm()
    except Refused as error:
        return {"ready": False, "status": "refused", "reason": wire.plain("import: {}".format(error))}
    except MemoryError as error:
        return {"ready": False, "status": "out_of_memory", "reason": wire.plain(error)}
    except BaseException as error:
        message = "{}: {}".format(type(error).__name__, error)
        status = "out_of_memory" if child.lacks_memory(message) else "refused"
        return {"ready": False, "status": status, "reason": wire.plain("import: " + message)}
    return {"ready": True}


class _Score:
    """Which process the kernel takes first where memory ends: a child, then its server.

    The setting is opened before any artifact has run, and a child inherits what its server has when it is
    forked: so neither is ever open to others while a model's code may run.
    """

    SERVER, CHILD = b"500", b"1000"

    def __init__(self) -> None:
        prctl.readable()
        try:
            self._fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        prctl.private()
        self.set(self.SERVER)

    def set(self, score: bytes) -> None:
        try:
            os.write(self._fd, score)
        except OSError:  # an engine that denies it
            pass


def serve(job: Dict[str, Any], framework: str, control_fd: int, log_fd: int) -> None:
    """Import `framework`, and fork on demand until the supervisor closes its end. Never returns."""
    try:
        os.setpgid(0, 0)
        prctl.die_with_parent()
        null = os.open(os.devnull, os.O_RDONLY)
        only_descriptors({0: null, 1: log_fd, 2: log_fd, 3: control_fd})
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, 3)
        score = _Score()
        sys.dont_write_bytecode = True
        state = _warm(framework)
        sys.stdout.flush()
        sys.stderr.flush()
        send(control, state)
        while state["ready"]:
            message, fds = _receive(control)
            if not message:
                break
            _fork(job, framework, control, score, message, fds)
    finally:
        os._exit(0)


def _fork(
    job: Dict[str, Any],
    framework: str,
    control: socket.socket,
    score: _Score,
    message: Dict[str, Any],
    fds: List[int],
) -> None:
    artifact = job["artifacts"][message["artifact"]]
    task = artifact if message["copy"] is None else artifact["copies"][message["copy"]]
    score.set(score.CHILD)
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            prctl.die_with_parent()
            only_descriptors({0: 0, 1: fds[1], 2: fds[1], 3: fds[0]})
            control.detach()
            child.main(framework, artifact, task, job["threads"], 3)
        finally:
            os._exit(71)
    score.set(score.SERVER)
    for fd in fds:
        os.close(fd)
    try:
        os.setpgid(pid, pid)
    except OSError:  # it did so itself, or is gone
        pass
    send(control, {"pid": pid})
    # The dead child keeps its process group's number until the supervisor has emptied that group.
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    code = ended.si_status if ended is not None else 0
    exited = ended is None or ended.si_code == os.CLD_EXITED
    send(control, {"exit": code if exited else None, "signal": None if exited else code})
    _receive(control)
    os.waitpid(pid, 0)
