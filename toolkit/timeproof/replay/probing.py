"""One container of the probe, from the host's side: a job in, each artifact's outcome out.

What comes back is never believed: headers are strict, sizes bounded by what the job allows, names and
dtypes checked before an array is made of them.
"""

from __future__ import annotations

import importlib
import math
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timeproof import strictjson
from timeproof.archive.model import FileEntry, ProfileRecord
from timeproof.engine.base import Engine, Mount, ReadExactly, RunResult, RunSpec
from timeproof.limits import LIMITS, Limits
from timeproof.probe import wire
from timeproof.replay.verdict import Verdict

if TYPE_CHECKING:
    from timeproof.archive.reference import Array
    from timeproof.replay.emulation import Simulated

_LATER = 30.0  # seconds after which a probe ends by itself that its host has not ended

_STATUS = {
    "refused": Verdict.refused,
    "altered": Verdict.altered,
    "crashed": Verdict.crashed,
    "timeout": Verdict.timeout,
    "out_of_memory": Verdict.out_of_memory,
    "too_large": Verdict.too_large,
}


@dataclass(frozen=True, slots=True)
class Task:
    """One artifact for the probe: where its files lie, and what its loader is told."""

    id: str
    framework: str
    folder: Path
    files: tuple[FileEntry, ...]
    model: str
    inputs_file: str
    input_names: tuple[str, ...]
    options: Mapping[str, Any]
    copies: tuple[Mapping[str, Any], ...] = ()  # {name, framework, model, options, witness, timeout}
    witness: str | None = None  # how else than natively it is asked: see probe/wire.py


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

    @property
    def native(self) -> dict[str, Array]:
        return self.outputs.get("native", {})


@dataclass(slots=True)
class ProbeRun:
    """What one container did."""

    outcomes: dict[str, Outcome]
    hello: dict[str, Any]
    result: RunResult


class _Distrust(Exception):
    """The stream is not what a probe writes."""


class _Unbelievable(Exception):
    """One output is none; the frames around it hold."""


class _Reader:
    """Reads the frames of one container. Memory: the arrays of the artifacts not yet handed on."""

    def __init__(
        self, run: ProbeRun, tasks: Sequence[Task], limits: Limits, on_outcome: Callable[[Outcome], None]
    ) -> None:
        self.run, self.limits, self.on_outcome = run, limits, on_outcome
        self.runners = {t.id: {"native", *(str(c["name"]) for c in t.copies)} for t in tasks}
        self.taken: dict[tuple[str, str], int] = {}  # bytes of outputs so far, by artifact and runner
        self.finished: set[str] = set()
        self.doubted: dict[str, str] = {}  # by artifact: which of its outputs is none
        self.greeted = False

    def __call__(self, read: ReadExactly) -> None:
        # NumPy is imported here, by when the container runs: a tenth of a second that nobody waits for.
        importlib.import_module("timeproof.replay.compare")
        while True:
            header = wire.read_frame(read, self.limits.frame_header_bytes)
            kind = header.get("kind")
            if kind == "output":
                self._output(header, read)
                continue
            if header["payload"]:
                raise _Distrust(f"a {kind!r} frame with a payload")
            if kind == "hello" and not self.greeted:
                self.greeted = True
                self.run.hello.update(header)
            elif kind == "result":
                self._result(header)
            elif kind == "done":
                return
            else:
                raise _Distrust(f"a frame of kind {kind!r}")

    def _outcome(self, header: Mapping[str, Any]) -> Outcome:
        found = self.run.outcomes.get(str(header.get("id")))
        if found is None or found.id in self.finished:
            raise _Distrust(f"a frame for {header.get('id')!r}, which was not asked for or is done")
        return found

    def _output(self, header: Mapping[str, Any], read: ReadExactly) -> None:
        """Take an output; what is none condemns its artifact alone: its model's code may have written it."""
        outcome = self._outcome(header)
        size = header["payload"]
        if size > self.limits.output_bytes:  # the probe would not have passed it on
            raise _Distrust(f"more than {self.limits.output_bytes} bytes of outputs")
        try:
            if outcome.id in self.doubted:
                raise _Unbelievable(self.doubted[outcome.id])
            name, runner, shape, dtype = self._checked(outcome, header)
        except _Unbelievable as error:
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
        """Name, runner, shape and dtype of an output. Raises _Unbelievable."""
        from timeproof.archive.reference import dtype_of

        name, runner, shape = header.get("name"), header.get("runner"), header.get("shape")
        if not isinstance(name, str) or not isinstance(runner, str) or not isinstance(shape, list):
            raise _Unbelievable("an output without name, runner or shape")
        if runner not in self.runners[outcome.id]:
            raise _Unbelievable(f"an output of {runner!r}, which was not asked for")
        if not all(type(n) is int and 0 <= n <= self.limits.integer for n in shape):
            raise _Unbelievable(f"an output of shape {shape!r}")
        try:
            dtype = dtype_of(header.get("dtype", ""))
        except ValueError as error:
            raise _Unbelievable(str(error)) from error
        size = header["payload"]
        if size != math.prod(shape) * dtype.itemsize:
            raise _Unbelievable(f"{size} bytes for {dtype} {shape}")
        # Elements without bytes and headers count, too: they take time and memory all the same.
        taken = self.taken.get((outcome.id, runner), 0) + max(size, math.prod(shape)) + len(repr(header))
        self.taken[outcome.id, runner] = taken
        if taken > self.limits.output_bytes + self.limits.frame_header_bytes:
            raise _Unbelievable(f"more than {self.limits.output_bytes} bytes of outputs")
        if name in outcome.outputs.get(runner, {}):
            raise _Unbelievable(f"the output {name!r} twice")
        return name, runner, shape, dtype

    def _result(self, header: Mapping[str, Any]) -> None:
        outcome = self._outcome(header)
        status = header.get("status")
        if not isinstance(status, str) or (status != "ok" and status not in _STATUS):
            raise _Distrust(f"a result of status {status!r}")
        outcome.failure = None if status == "ok" else _STATUS[status]
        outcome.reason = str(header.get("reason") or "")
        outcome.signal = header["signal"] if type(header.get("signal")) is int else None
        seconds = header.get("seconds")
        outcome.seconds = float(seconds) if isinstance(seconds, (int, float)) and 0 <= seconds < 1e9 else 0.0
        outcome.log = str(header.get("log") or "")
        outcome.versions = {str(k): str(v) for k, v in _object(header.get("versions")).items()}
        outcome.copies = {str(k): _object(v) for k, v in _object(header.get("copies")).items()}
        if outcome.id in self.doubted:
            outcome.failure = Verdict.crashed
            outcome.reason = f"it gave what is no output: {self.doubted[outcome.id]}"
        if outcome.failure is not None:
            outcome.outputs = {}
        self.finished.add(outcome.id)
        self.on_outcome(outcome)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _readable(folder: Path, paths: Iterable[str]) -> bool:
    """Whether the container's user can read all of it, through the modes for others."""
    for path in paths:
        here = folder / path
        if not here.stat().st_mode & stat.S_IROTH:
            return False
        while here != folder:
            here = here.parent
            if not here.stat().st_mode & stat.S_IXOTH:
                return False
    return True


def _copy_readable(source: Path, target: Path, scratch: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent
    while folder != scratch:
        folder.chmod(0o755)
        folder = folder.parent
    shutil.copyfile(source, target)
    target.chmod(0o644)


@contextmanager
def _mounts(tasks: Sequence[Task], scratch: Path) -> Iterator[dict[Path, Mount]]:
    """One read-only mount a folder; a copy where the modes would keep the container's user out."""
    wanted: dict[Path, set[str]] = {}
    for task in tasks:
        wanted.setdefault(task.folder, set()).update({task.inputs_file, *(f.path for f in task.files)})
    found: dict[Path, Mount] = {}
    for folder, paths in wanted.items():
        source = folder
        if not _readable(folder, paths):
            source = scratch / f"in-{len(found)}"
            for path in paths:
                _copy_readable(folder / path, source / path, scratch)
        found[folder] = Mount(source, f"/in/{len(found)}")
    yield found


def run_probe(
    engine: Engine,
    image: str,
    tasks: Sequence[Task],
    profile: ProfileRecord,
    *,
    limits: Limits = LIMITS,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
    hello: dict[str, Any] | None = None,
    simulated: Simulated | None = None,
) -> ProbeRun:
    """Run every task in one fresh container of `image`.

    A crash, a refusal, a timeout of one artifact is its outcome, and the others go on. Where the
    container itself ends early, the artifacts without a result are lost, timed out or out of memory.

    Args:
        image: an id that the engine holds.
        on_outcome: called as soon as an artifact is done, in the probe's order.
        hello: filled with what the probe says of itself and its machine, before the first outcome.
        simulated: the CPU on which the probe shall believe to run; it takes 5 to 90 times longer.

    Raises EngineLost / EngineFailed.
    """
    run = ProbeRun(
        {t.id: Outcome(t.id) for t in tasks},
        {} if hello is None else hello,
        RunResult(None, False, False, "", 0.0),
    )
    with tempfile.TemporaryDirectory(prefix="timeproof-job-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        with _mounts(tasks, scratch) as mounts:
            job = scratch / "job.json"
            seconds = min(limits.container_seconds, 60.0 + limits.artifact_seconds * len(tasks))
            told = _job(tasks, mounts, profile, limits)
            told["seconds"] = seconds + _LATER
            job.write_bytes(strictjson.dumps(told))
            job.chmod(0o644)
            spec = RunSpec(
                image=image,
                argv=("/job/job.json",),
                env=profile.variables,
                mounts=(Mount(job, "/job/job.json"), *mounts.values()),
                memory=limits.container_memory,
                pids=limits.container_pids,
                timeout=seconds,
            )
            if simulated is not None:
                from timeproof.replay.emulation import emulated  # only a simulation needs it

                spec = emulated(spec, simulated, scratch)
            reader = _Reader(run, tasks, limits, on_outcome)
            distrust = ""

            def consume(read: ReadExactly) -> None:
                nonlocal distrust
                try:
                    reader(read)
                except (_Distrust, wire.WireError) as error:
                    distrust = f"the container wrote what no probe writes: {error}"

            run.result = engine.run(spec, consume)
    for outcome in run.outcomes.values():
        if outcome.id not in reader.finished:
            _explain_missing(outcome, run.result, distrust)
            on_outcome(outcome)
    return run


def _explain_missing(outcome: Outcome, result: RunResult, distrust: str) -> None:
    outcome.outputs = {}
    outcome.log = result.log[-8192:]
    if result.timed_out:
        outcome.failure, outcome.reason = Verdict.timeout, "the container ran out of time and was killed"
    elif result.oom_killed:
        outcome.failure, outcome.reason = Verdict.out_of_memory, "the container ran out of memory"
    elif distrust:
        outcome.failure, outcome.reason = Verdict.crashed, distrust
    else:
        outcome.failure = Verdict.crashed
        outcome.reason = (
            f"the container ended (exit code {result.exit_code}) before this artifact had a result"
        )


def _job(
    tasks: Sequence[Task], mounts: Mapping[Path, Mount], profile: ProfileRecord, limits: Limits
) -> dict[str, Any]:
    return {
        "contract": wire.CONTRACT,
        "threads": profile.threads,
        "artifacts": [
            {
                "id": t.id,
                "framework": t.framework,
                "directory": mounts[t.folder].target,
                "files": [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in t.files],
                "model": t.model,
                "inputs": {"file": t.inputs_file, "names": list(t.input_names)},
                "options": dict(t.options),
                "copies": [dict(c) for c in t.copies],
                "witness": t.witness,
                "timeout": limits.artifact_seconds,
                "output_bytes": limits.output_bytes,
            }
            for t in tasks
        ],
    }
