"""Read what a probe writes: frames come in, each artifact's outcome goes out.

The stream is not trusted: headers are read strictly, sizes are bounded by the job's limits, and names and
dtypes are checked before they become an array. This module knows no engine and no archive.
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

_DIFFERENCES = 9  # differences that are kept of a file that was saved again
_CHARACTERS = 300  # characters that are kept of each difference, and of a reason

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
    """What the probe gave for one artifact. `failure` is None where it gave outputs."""

    id: str
    failure: Verdict | None = Verdict.lost
    reason: str = ""
    signal: int | None = None
    seconds: float = 0.0
    log: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, Array]] = field(default_factory=dict)  # runner → name → array
    copies: dict[str, dict[str, Any]] = field(default_factory=dict)
    round_trip: dict[str, Any] = field(default_factory=dict)  # the result of saving the model's file again
    error: BadArchive | None = None  # names the file that is not the recorded one
    hello: Mapping[str, Any] = field(default_factory=dict)  # the facts of its own container

    @property
    def native(self) -> dict[str, Array]:
        return self.outputs.get("native", {})


@dataclass(slots=True)
class ProbeRun:
    """The outcomes of one container."""

    outcomes: dict[str, Outcome]
    hello: dict[str, Any]
    result: RunResult


class ProtocolViolation(Exception):
    """The stream is not what a probe writes: nothing that follows in it can be read."""


class InvalidOutput(Exception):
    """One output is not valid; the frames around it are."""


class Reader:
    """Reads the frames of one container. It holds the arrays of the artifacts that are not yet passed on."""

    def __init__(
        self,
        run: ProbeRun,
        runners: Mapping[str, set[str]],  # artifact → "native", and the names of its copies
        limits: Limits,
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self.run, self.runners, self.limits, self.on_outcome = run, runners, limits, on_outcome
        self.taken: dict[tuple[str, str], int] = {}  # bytes of outputs so far, by artifact and runner
        self.finished: set[str] = set()
        self.invalid: dict[str, str] = {}  # artifact → why one of its outputs is not valid
        self.greeted = False

    def __call__(self, read: ReadExactly) -> None:
        # NumPy is imported here, while the container starts, so its tenth of a second costs nothing.
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
        outcome = self.run.outcomes.get(str(header.get("id")))
        if outcome is None or outcome.id in self.finished:
            raise ProtocolViolation(f"a frame for {header.get('id')!r}, which is not in the job or is done")
        return outcome

    def _output(self, header: Mapping[str, Any], read: ReadExactly) -> None:
        """Read an output. An invalid one fails only its own artifact, whose code may have written it."""
        outcome = self._outcome(header)
        size = header["payload"]
        if size > self.limits.output_bytes:  # the probe never passes on more
            raise ProtocolViolation(f"more than {self.limits.output_bytes} bytes of outputs")
        try:
            if outcome.id in self.invalid:
                raise InvalidOutput(self.invalid[outcome.id])
            name, runner, shape, dtype = self._check_output(outcome, header)
        except InvalidOutput as error:
            self.invalid[outcome.id] = str(error)
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
            self.invalid[outcome.id] = f"an output of shape {shape!r}: {error}"

    def _check_output(self, outcome: Outcome, header: Mapping[str, Any]) -> tuple[str, str, list[int], Any]:
        """Return the name, runner, shape and dtype of an output. Raises InvalidOutput."""
        from timeproof.store.reference import dtype_of

        name, runner, shape = header.get("name"), header.get("runner"), header.get("shape")
        if not isinstance(name, str) or not isinstance(runner, str) or not isinstance(shape, list):
            raise InvalidOutput("an output without name, runner or shape")
        if runner not in self.runners[outcome.id]:
            raise InvalidOutput(f"an output of {runner!r}, which is not in the job")
        if not all(type(n) is int and 0 <= n <= self.limits.integer for n in shape):
            raise InvalidOutput(f"an output of shape {shape!r}")
        try:
            dtype = dtype_of(header.get("dtype", ""))
        except ValueError as error:
            raise InvalidOutput(str(error)) from error
        size = header["payload"]
        if size != math.prod(shape) * dtype.itemsize:
            raise InvalidOutput(f"{size} bytes for {dtype} {shape}")
        # Headers and elements without bytes count too: they also take time and memory.
        taken = self.taken.get((outcome.id, runner), 0) + max(size, math.prod(shape)) + len(repr(header))
        self.taken[outcome.id, runner] = taken
        if taken > self.limits.output_bytes + self.limits.frame_header_bytes:
            raise InvalidOutput(f"more than {self.limits.output_bytes} bytes of outputs")
        if name in outcome.outputs.get(runner, {}):
            raise InvalidOutput(f"the output {name!r} twice")
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
        if outcome.id in self.invalid:
            outcome.failure = Verdict.crashed
            outcome.reason = f"it gave an invalid output: {self.invalid[outcome.id]}"
        if outcome.failure is not None:
            outcome.outputs = {}
        self.finished.add(outcome.id)
        self.on_outcome(outcome)


def _round_trip(value: Any) -> dict[str, Any]:
    """Keep `status`, and a `reason` or `differences`; empty where the field is absent or not well formed."""
    report = _object(value)
    if report.get("status") not in {"identical", "differs", "failed"}:
        return {}
    facts: dict[str, Any] = {"status": report["status"]}
    if isinstance(report.get("reason"), str):
        facts["reason"] = report["reason"][:_CHARACTERS]
    differences = report.get("differences")
    if isinstance(differences, list):
        facts["differences"] = [str(d)[:_CHARACTERS] for d in differences[:_DIFFERENCES]]
    return facts


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
