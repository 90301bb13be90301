"""Follows one child from its start to its end: its stream, its log, its time, its exit.

It imports no framework and reads no model: this process must live to the end.
"""

import fcntl
import os
import select
import signal
import time
from typing import Any, BinaryIO, Dict, List, Optional, Set

from timeproof_probe import child, fork_server, round_trip, wire
from timeproof_probe.server_client import Server, Tail, kill_group, oom_kills

_CHUNK = 1 << 20
_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ, which Python has since 3.10


class _Ended(Exception):
    """The child is dead, and its pipe is empty."""


class _Late(Exception):
    """The time is over."""


class _InvalidOutput(Exception):
    """More bytes than the artifact may give."""


def _clean_output(header: Dict[str, Any]) -> Dict[str, Any]:
    """Keep the fields of the contract, in its types: a child that runs a model's code may write anything."""
    shape = header.get("shape")
    sized = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    named = isinstance(header.get("name"), str) and type(header.get("index")) is int
    if not (sized and named and isinstance(header.get("dtype"), (str, list))):
        raise wire.WireError("an output without name, index, dtype or shape")
    output = {key: header[key] for key in ("name", "index", "dtype", "shape")}
    if isinstance(header.get("from"), str):
        output["from"] = header["from"]
    return output


def _clean_end(header: Dict[str, Any]) -> Dict[str, Any]:
    versions = header.get("versions")
    if not isinstance(versions, dict):
        versions = {}
    end = {
        "status": header["status"],
        "reason": wire.plain(header.get("reason", "")),
        "versions": {wire.plain(k, 100): wire.plain(v, 100) for k, v in list(versions.items())[:20]},
    }
    if isinstance(header.get("path"), str):
        end["path"] = wire.plain(header["path"])
    if header.get("more") is True:
        end["more"] = True
    return end


def _clean_round_trip(report: Any) -> Dict[str, Any]:
    """Keep the fields that the contract has for a round trip. Raises WireError."""
    if not isinstance(report, dict) or report.get("status") not in ("identical", "differs", "failed"):
        raise wire.WireError("a round trip of no known status")
    facts = {"status": report["status"]}
    if report.get("reason"):
        facts["reason"] = wire.plain(report["reason"], 300)
    differences = report.get("differences")
    if isinstance(differences, list) and differences:
        facts["differences"] = [wire.plain(sentence, 300) for sentence in differences[: round_trip.SHOWN + 1]]
    return facts


class Run:
    """One child: its pipe, its log, its time."""

    def __init__(self, warmed: Server, index: int, copy: Optional[int], timeout: float, allowed: int) -> None:
        self._server = warmed
        self._timeout = timeout
        self._until = time.monotonic() + timeout
        self._allowed = allowed
        self._started = time.monotonic()
        self._kills = oom_kills()
        self._buffer = bytearray()
        self._pid = 0
        self._exit: Optional[Dict[str, Any]] = None
        self._lost = False
        self._silent: Set[int] = set()
        self.log = Tail()
        self.data, data_end = os.pipe()
        self.err, err_end = os.pipe()
        for fd in (self.data, self.err):
            os.set_blocking(fd, False)
        try:
            fcntl.fcntl(self.data, _F_SETPIPE_SZ, _CHUNK)
        except OSError:
            pass
        try:
            fork_server.send_with(warmed.control, {"artifact": index, "copy": copy}, [data_end, err_end])
        except OSError:
            self._lost = True
        os.close(data_end)
        os.close(err_end)

    def _pump(self, fd: int) -> bool:
        """Read what the pipe holds; say whether it may hold more."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if fd == self.err:
            self.log.add(data)
        else:
            self._buffer += data
        return bool(data)

    def _wait(self) -> None:
        """Wait for bytes, for words of the log, for the child's end, or for the end of the time."""
        if self._exit is not None or self._lost:
            # A process that it started may hold the pipe open: only what is in it now counts.
            if not self._pump(self.data):
                raise _Ended
            return
        remaining = self._until - time.monotonic()
        if remaining <= 0:
            raise _Late
        pipes = [fd for fd in (self.data, self.err) if fd not in self._silent]
        fds: List[Any] = [self._server.control, self._server.log_fd]
        ready, _, _ = select.select(fds + pipes, [], [], remaining)
        for fd in pipes:
            if fd in ready and not self._pump(fd):
                self._silent.add(fd)
        if self._server.log_fd in ready:
            self._server.read_log()
        if self._server.control in ready:
            self._hear(self._server.message())

    def _hear(self, message: Dict[str, Any]) -> None:
        if not message:
            self._lost = True
        elif "pid" in message:
            self._pid = message["pid"]
        else:
            self._exit = message

    def exactly(self, size: int) -> bytes:
        """Give exactly `size` bytes of the child's stream; for `wire.read_frame`."""
        while len(self._buffer) < size:
            self._wait()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def forward(self, size: int, out: BinaryIO) -> None:
        """Copy `size` bytes to `out`; zeros stand for those that the child did not send before it died.

        The header with `size` is sent already; the result's status says that the bytes don't count.
        """
        remaining = size
        try:
            while remaining:
                if not self._buffer:
                    self._wait()
                    continue
                part = bytes(self._buffer[:remaining])
                del self._buffer[: len(part)]
                remaining -= len(part)
                begun = time.monotonic()
                wire.write_all(out, part)
                self._until += time.monotonic() - begun  # a slow reader is not the model's fault
        finally:
            while remaining:
                part = bytes(min(remaining, _CHUNK))
                wire.write_all(out, part)
                remaining -= len(part)

    def follow(self, out: BinaryIO, identity: Dict[str, Any]) -> Dict[str, Any]:
        """Read the child's frames to their end, passing its outputs on; return the outcome."""
        try:
            outcome = self._follow(out, identity)
        except _Late:
            outcome = {"status": "timeout", "reason": "no answer within {:g} s".format(self._timeout)}
        except _InvalidOutput as error:
            outcome = {"status": "too_large", "reason": str(error)}
        except wire.WireError as error:
            outcome = {"status": "crashed", "reason": "the child's stream is broken: {}".format(error)}
        except _Ended:
            outcome = {}
        seconds = time.monotonic() - self._started
        if outcome.pop("more", False):
            outcome["round_trip"] = self._more()
        self._finish()
        if not outcome:
            outcome = self._post_mortem()
        outcome.setdefault("signal", None)
        outcome.setdefault("versions", {})
        outcome["seconds"] = round(seconds, 6)
        outcome["log"] = self.log.text()
        return outcome

    def _follow(self, out: BinaryIO, identity: Dict[str, Any]) -> Dict[str, Any]:
        total = 0
        for _ in range(child.OUTPUTS_LIMIT + 1):
            header = wire.read_frame(self.exactly)
            if header["kind"] == "end" and header.get("status") in wire.STATUSES:
                return _clean_end(header)
            if header["kind"] != "output":
                raise wire.WireError("a frame of the kind {!r}".format(wire.plain(header["kind"], 80)))
            total += header["payload"]
            if total > self._allowed:
                raise _InvalidOutput("the outputs have more than {} bytes".format(self._allowed))
            output = _clean_output(header)
            output.update(identity, kind="output", payload=header["payload"])
            wire.write_all(out, wire.encode_header(output))
            self.forward(header["payload"], out)
            out.flush()
        raise wire.WireError("more than {} outputs".format(child.OUTPUTS_LIMIT))

    def _more(self) -> Dict[str, Any]:
        """Read the frame after the end. Whatever happens to the child by now, its outputs count."""
        try:
            header = wire.read_frame(self.exactly)
            if header["kind"] != "facts" or header["payload"]:
                raise wire.WireError("no facts")
            return _clean_round_trip(header.get("round_trip"))
        except _Late:
            reason = "it did not end within {:g} s".format(self._timeout)
        except wire.WireError as error:
            reason = "the child's stream is broken: {}".format(error)
        except _Ended:
            reason = "the process died of it"
        return {"status": "failed", "reason": reason}

    def _finish(self) -> None:
        """End the child and all that it started, and let the server collect it."""
        until = time.monotonic() + 10.0
        while self._exit is None and not self._lost:
            if self._pid:
                kill_group(self._pid)
            ready, _, _ = select.select([self._server.control], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                self._lost = True
                break
            self._hear(self._server.message())
        if self._pid:
            kill_group(self._pid)
        while self._pump(self.err):
            pass
        if not self._lost:
            try:
                fork_server.send(self._server.control, {"reap": True})
            except OSError:
                self._lost = True
        os.close(self.data)
        os.close(self.err)

    def _post_mortem(self) -> Dict[str, Any]:
        if self._exit is None:
            return self._server.obituary("while it ran an artifact")
        number = self._exit["signal"]
        if number is None:
            reason = "the process ended with exit code {} before it answered".format(self._exit["exit"])
            return {"status": "crashed", "reason": reason}
        if number == signal.SIGKILL and oom_kills() > self._kills:
            return {
                "status": "out_of_memory",
                "signal": number,
                "reason": "the kernel killed it: out of memory",
            }
        if number == signal.SIGABRT and child.lacks_memory(self.log.text()):
            return {"status": "out_of_memory", "signal": number, "reason": "it aborted: out of memory"}
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = str(number)
        return {"status": "crashed", "signal": number, "reason": "killed by {}".format(name)}

    @property
    def lost(self) -> bool:
        """Whether the server is of no more use."""
        return self._lost
