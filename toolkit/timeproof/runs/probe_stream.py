"""What a probe says, as its host hears it: frames in, each artifact's outcome out.

Nothing of it is believed: headers are strict, sizes bounded by what the job allows, names and dtypes
checked before an array is made of them. Knows no engine, and no archive.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from timeproof.base.limits import Limits
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import ReadExactly, RunResult
from timeproof.errors import BadArchive
from timeproof_probe import wire

if TYPE_CHECKING:
    from timeproof.store.reference import Array

_TOLD, _SAID = 9, 300  # differences of a file that was saved again; characters of each

_STATUS = {
    "refused": Verdict.refused,
    "altered": Verdict.altered,
    "crashed": Verdict.crashed,
    "timeout": Verdict.timeout,
    "out_of_memory": Verdict.out_of_memory,
    "too_large": Verdict.too_large,
}


@dataclass(slots=True)
class Outcome:
    """What the probe gave for one artifact. `failure` is None where there are outputs."""

    id: str
    failure: Verdict | None = Verdict.lost
    reason: str = ""
    signal: int | None = None
    seconds: float = 0.0
    log: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, Array]] = field(default_factory=dict)  # runner → name → array
    copies: dict[str, dict[str, Any]] = field(default_factory=dict)
    round_trip: dict[str, Any] = field(default_factory=dict)  # what became of the file, saved again
    error: BadArchive | None = None  # which of its files is not the recorded one
    hello: Mapping[str, Any] = field(default_factory=dict)  # what its own container said of itself

    @property
    def native(self) -> dict[str, Array]:
        return self.outputs.get("native", {})


@dataclass(slots=True)
class ProbeRun:
    """What one container did."""

    outcomes: dict[str, Outcome]
    hello: dict[str, Any]
    result: RunResult


class ProtocolViolation(Exception):
    """The stream is not what a probe writes."""


class _InvalidOutput(Exception):
    """One output is none; the frames around it hold."""


class Reader:
    """Reads the frames of one container. Memory: the arrays of the artifacts not yet handed on."""

    def __init__(
        self,
        run: ProbeRun,
        runners: Mapping[str, set[str]],  # what each artifact was asked for: "native", and its copies' names
        limits: Limits,
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self.run, self.runners, self.limits, self.on_outcome = run, runners, limits, on_outcome
        self.taken: dict[tuple[str, str], int] = {}  # bytes of outputs so far, by artifact and runner
        self.finished: set[str] = set()
        self.doubted: dict[str, str] = {}  # by artifact: which of its outputs is none
        self.greeted = False

    def __call__(self, read: ReadExactly) -> None:
        # NumPy is imported here, by when the container runs: a tenth of a second that nobody waits for.
        importlib.import_module("timeproof.compare.compare")
        while True:
            header = wire.read_frame(read, self.limits.frame_header_bytes)
            kind = header.get("kind")
            if kind == "output":
                self._output(header, read)
                continue
            if header["payload"]:
                raise ProtocolViolation(f"a {kind!r} frame with a payload")
            if kind == "hello" and not self.greeted:
                self.greeted = True
                self.run.hello.update(header)
            elif kind == "result":
                self._result(header)
            elif kind == "done":
                return
            else:
                raise ProtocolViolation(f"a frame of kind {kind!r}")

    def _outcome(self, header: Mapping[str, Any]) -> Outcome:
        found = self.run.outcomes.get(str(header.get("id")))
        if found is None or found.id in self.finished:
            raise ProtocolViolation(f"a frame for {header.get('id')!r}, which was not asked for or is done")
        return found

    def _output(self, header: Mapping[str, Any], read: ReadExactly) -> None:
        """Take an output; what is none condemns its artifact alone: its model's code may have written it."""
        outcome = self._outcome(header)
        size = header["payload"]
        if size > self.limits.output_bytes:  # the probe would not have passed it on
            raise ProtocolViolation(f"more than {self.limits.output_bytes} bytes of outputs")
        try:
            if outcome.id in self.doubted:
                raise _InvalidOutput(self.doubted[outcome.id])
            name, runner, shape, dtype = self._checked(outcome, header)
        except _InvalidOutput as error:
            self.doubted[outcome.id] = str(error)
            outcome.outputs = {}
            while size:
                size -= len(read(min(size, 1 << 20)))
            return
        import numpy as np

        data = read(size)
        try:
            outcome.outputs.setdefault(runner, {})[name] = (
                np.frombuffer(data, dtype).reshape(shape) if dtype.itemsize else np.ndarray(shape, dtype)
            )
        except ValueError as error:
            self.doubted[outcome.id] = f"an output of shape {shape!r}: {error}"

    def _checked(self, outcome: Outcome, header: Mapping[str, Any]) -> tuple[str, str, list[int], Any]:
        """Name, runner, shape and dtype of an output. Raises _InvalidOutput."""
        from timeproof.store.reference import dtype_of

        name, runner, shape = header.get("name"), header.get("runner"), header.get("shape")
        if not isinstance(name, str) or not isinstance(runner, str) or not isinstance(shape, list):
            raise _InvalidOutput("an output without name, runner or shape")
        if runner not in self.runners[outcome.id]:
            raise _InvalidOutput(f"an output of {runner!r}, which was not asked for")
        if not all(type(n) is int and 0 <= n <= self.limits.integer for n in shape):
            raise _InvalidOutput(f"an output of shape {shape!r}")
        try:
            dtype = dtype_of(header.get("dtype", ""))
        except ValueError as error:
            raise _InvalidOutput(str(error)) from error
        size = header["payload"]
        if size != math.prod(shape) * dtype.itemsize:
            raise _InvalidOutput(f"{size} bytes for {dtype} {shape}")
        # Elements without bytes and headers count, too: they take time and memory all the same.
        taken = self.taken.get((outcome.id, runner), 0) + max(size, math.prod(shape)) + len(repr(header))
        self.taken[outcome.id, runner] = taken
        if taken > self.limits.output_bytes + self.limits.frame_header_bytes:
            raise _InvalidOutput(f"more than {self.limits.output_bytes} bytes of outputs")
        if name in outcome.outputs.get(runner, {}):
            raise _InvalidOutput(f"the output {name!r} twice")
        return name, runner, shape, dtype

    def _result(self, header: Mapping[str, Any]) -> None:
        outcome = self._outcome(header)
        status = header.get("status")
        if not isinstance(status, str) or (status != "ok" and status not in _STATUS):
            raise ProtocolViolation(f"a result of status {status!r}")
        outcome.failure = None if status == "ok" else _STATUS[status]
        outcome.reason = str(header.get("reason") or "")
        outcome.signal = header["signal"] if type(header.get("signal")) is int else None
        seconds = header.get("seconds")
        outcome.seconds = float(seconds) if isinstance(seconds, (int, float)) and 0 <= seconds < 1e9 else 0.0
        outcome.log = str(header.get("log") or "")
        outcome.versions = {str(k): str(v) for k, v in _object(header.get("versions")).items()}
        outcome.copies = {str(k): _object(v) for k, v in _object(header.get("copies")).items()}
        outcome.round_trip = _round_trip(header.get("round_trip"))
        if outcome.id in self.doubted:
            outcome.failure = Verdict.crashed
            outcome.reason = f"it gave what is no output: {self.doubted[outcome.id]}"
        if outcome.failure is not None:
            outcome.outputs = {}
        self.finished.add(outcome.id)
        self.on_outcome(outcome)


def _round_trip(told: Any) -> dict[str, Any]:
    """`status`, and a `reason` or `differences`; empty where nothing was asked, or it is not well said."""
    found = _object(told)
    if found.get("status") not in {"identical", "differs", "failed"}:
        return {}
    known: dict[str, Any] = {"status": found["status"]}
    if isinstance(found.get("reason"), str):
        known["reason"] = found["reason"][:_SAID]
    listed = found.get("differences")
    if isinstance(listed, list):
        known["differences"] = [str(said)[:_SAID] for said in listed[:_TOLD]]
    return known


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
