"""The supervisor's end of a fork server: start it, wait for its import, say how it died."""

import json
import os
import select
import signal
import socket
import time
from typing import Any, Dict, List, Optional

from timeproof_probe import fork_server, wire

# An import is no artifact's work, and on a cold disk takes longer than many an artifact may.
IMPORT_SECONDS = 120.0

_COUNTERS = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)


def oom_kills() -> int:
    """How many processes of this container the kernel has killed for want of memory; 0 where unknown."""
    total = 0
    for path in _COUNTERS:
        try:
            with open(path) as stream:
                for line in stream:
                    key, _, value = line.partition(" ")
                    if key == "oom_kill":
                        total += int(value)
        except (OSError, ValueError):
            pass
    return total


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass


class Tail:
    """The last bytes of what a process printed."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> None:
        self._data = (self._data + data)[-wire.LOG_LIMIT :]

    def text(self) -> str:
        return self._data.decode("utf-8", "replace")


class Server:
    """The supervisor's end of one framework's fork server."""

    def __init__(self, job: Dict[str, Any], framework: str) -> None:
        self.framework = framework
        self.failure: Optional[Dict[str, Any]] = None
        self.ready = False
        self.log = Tail()
        self._kills = oom_kills()
        self.control, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.log_fd, log_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            fork_server.serve(job, framework, server_end.fileno(), log_end)
        server_end.close()
        os.close(log_end)
        os.set_blocking(self.log_fd, False)

    def read_log(self) -> None:
        try:
            self.log.add(os.read(self.log_fd, 65536))
        except OSError:
            pass

    def message(self) -> Dict[str, Any]:
        """Receive the next packet; an empty object means that the server has ended."""
        try:
            data = self.control.recv(fork_server.PACKET)
        except OSError:
            data = b""
        return json.loads(data.decode("ascii")) if data else {}

    def warm(self, timeout: float) -> None:
        """Wait until the framework is imported; `failure` says why where it can't be."""
        until = time.monotonic() + timeout
        while not self.ready and self.failure is None:
            remaining = until - time.monotonic()
            if remaining <= 0:
                self.failure = {"status": "timeout", "reason": "importing took over {} s".format(timeout)}
                break
            watched: List[Any] = [self.control, self.log_fd]
            ready, _, _ = select.select(watched, [], [], remaining)
            if self.log_fd in ready:
                self.read_log()
            if self.control in ready:
                state = self.message()
                if not state:
                    self.failure = self.obituary("while it imported " + self.framework)
                elif state.get("ready"):
                    self.ready = True
                else:
                    self.failure = {"status": state["status"], "reason": state["reason"]}

    def obituary(self, when: str) -> Dict[str, Any]:
        """Say how the server died; it must be dead or dying."""
        kill_group(self.pid)
        _, code = os.waitpid(self.pid, 0)
        self.pid = 0
        self.read_log()
        number = os.WTERMSIG(code) if os.WIFSIGNALED(code) else None
        if number == signal.SIGKILL and oom_kills() > self._kills:
            return {"status": "out_of_memory", "reason": "the kernel killed the server " + when}
        return {"status": "crashed", "signal": number, "reason": "the server died " + when}

    @property
    def importing(self) -> bool:
        return not self.ready and self.failure is None

    def go_on(self) -> None:
        """Let it run again where an artifact has stopped it."""
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGCONT)
            except OSError:
                pass

    def is_dead(self) -> bool:
        """Say whether it has ended since its import, or was closed."""
        if not self.ready:
            return False
        if not self.pid:
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except OSError:
            return True

    def close(self) -> None:
        if self.control.fileno() < 0:  # it was closed before
            return
        self.control.close()
        os.close(self.log_fd)
        if self.pid:
            kill_group(self.pid)
            try:
                os.waitpid(self.pid, 0)
            except OSError:
                pass
            self.pid = 0
