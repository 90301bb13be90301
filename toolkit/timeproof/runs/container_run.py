"""Run the probe in one container: a job goes in, each artifact's outcome comes out.

`probe_stream.Reader` reads the container's output, and trusts none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from timeproof.base import atomic, strictjson
from timeproof.base.limits import LIMITS, Limits
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import Engine, Mount, ReadExactly, RunResult, RunSpec
from timeproof.runs.private_folder import INSIDE, PrivateFolder
from timeproof.runs.probe_stream import Outcome, ProbeRun, ProtocolViolation, Reader
from timeproof.runs.task import Task as Task  # callers of run_probe import it from here
from timeproof.store.schema.v1 import ProfileRecord
from timeproof_probe import wire

if TYPE_CHECKING:
    from timeproof.runs.cpu_emulator import Simulated

_NO_DIGEST = "0" * 64
_LATER = 30.0  # seconds after the container's time limit, when a probe that still runs ends by itself


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
    folder: PrivateFolder | None = None,
) -> ProbeRun:
    """Run every task in one fresh container of `image`, which sees a private folder and nothing else.

    A crash, a refusal or a timeout of one artifact is that artifact's outcome; the others go on. Where the
    container itself ends early, the artifacts without a result have crashed, timed out or run out of memory.
    An artifact whose files are not the recorded ones is `altered`; none of its files enters the container.

    Args:
        image: the id of an image that the engine holds.
        on_outcome: called as soon as an artifact is done, in the probe's order.
        hello: filled, before the first outcome, with the probe's facts of itself and its machine.
        simulated: the CPU that the probe shall see; a run on it takes 5 to 90 times longer.
        folder: copies of the tasks' files that were made before; removed at the end.

    Raises EngineLost / EngineFailed; NoSpace / StorageFailed where the files can't be copied.
    """
    facts = {} if hello is None else hello
    run = ProbeRun(
        {t.id: Outcome(t.id, hello=facts) for t in tasks}, facts, RunResult(None, False, False, "", 0.0)
    )
    with ExitStack() as stack:
        private = folder if folder is not None else PrivateFolder(tasks)
        stack.callback(private.close)
        for id_, error in private.altered.items():
            outcome = run.outcomes[id_]
            outcome.failure, outcome.reason, outcome.error = Verdict.altered, error.message, error
            on_outcome(outcome)
        intact = [t for t in tasks if t.id in private.handed]
        if intact:
            container = _Container(engine, image, profile, limits, simulated, private)
            container.run(intact, run, on_outcome)
    return run


@dataclass(frozen=True, slots=True)
class _Container:
    """A container to run: its image and bounds, and the private folder that it sees."""

    engine: Engine
    image: str
    profile: ProfileRecord
    limits: Limits
    simulated: Simulated | None
    private: PrivateFolder

    def run(self, tasks: Sequence[Task], run: ProbeRun, on_outcome: Callable[[Outcome], None]) -> None:
        """Run the tasks, whose files are in the private folder, and complete their outcomes in `run`."""
        spec = self._spec(tasks)
        runners = {t.id: {"native", *(str(c["name"]) for c in t.copies)} for t in tasks}
        reader = Reader(run, runners, self.limits, on_outcome)
        violation = ""

        def consume(read: ReadExactly) -> None:
            nonlocal violation
            try:
                reader(read)
            except (ProtocolViolation, wire.WireError) as error:
                violation = f"the container wrote what no probe writes: {error}"

        run.result = self.engine.run(spec, consume)
        for task in tasks:
            if task.id not in reader.finished:
                _explain_missing(run.outcomes[task.id], run.result, violation)
                on_outcome(run.outcomes[task.id])

    def _spec(self, tasks: Sequence[Task]) -> RunSpec:
        limits, private = self.limits, self.private
        seconds = min(limits.container_seconds, 60.0 + limits.artifact_seconds * len(tasks))
        job = private.path / "job.json"
        with atomic.storage(job):
            job.write_bytes(strictjson.dumps(_job(tasks, private, self.profile, limits, seconds + _LATER)))
            job.chmod(0o644)
        spec = RunSpec(
            image=self.image,
            argv=("/job/job.json",),
            env=self.profile.variables,
            mounts=(Mount(job, "/job/job.json"), Mount(private.path / "in", INSIDE)),
            memory=limits.container_memory,
            pids=limits.container_pids,
            timeout=seconds,
        )
        if self.simulated is None:
            return spec
        from timeproof.runs.cpu_emulator import emulate  # only a simulation needs it

        return emulate(spec, self.simulated, private.path)


def _explain_missing(outcome: Outcome, result: RunResult, violation: str) -> None:
    """Give a reason for an artifact whose result never came."""
    outcome.outputs = {}
    outcome.log = result.log[-8192:]
    if result.timed_out:
        outcome.failure, outcome.reason = Verdict.timeout, "the container ran out of time and was killed"
    elif result.oom_killed:
        outcome.failure, outcome.reason = Verdict.out_of_memory, "the container ran out of memory"
    elif violation:
        outcome.failure, outcome.reason = Verdict.crashed, violation
    else:
        outcome.failure = Verdict.crashed
        outcome.reason = (
            f"the container ended (exit code {result.exit_code}) before this artifact had a result"
        )


def _job(
    tasks: Sequence[Task], private: PrivateFolder, profile: ProfileRecord, limits: Limits, seconds: float
) -> dict[str, Any]:
    return {
        "contract": wire.CONTRACT,
        "threads": profile.threads,
        "seconds": seconds,
        "artifacts": [
            {
                "id": t.id,
                "framework": t.framework,
                "directory": private.handed[t.id].directory,
                "files": [
                    {"path": f.path, "size": f.size, "sha256": f.sha256} for f in private.handed[t.id].files
                ],
                "model": t.model,
                "inputs": {"file": t.inputs_file, "names": list(t.input_names)},
                "options": dict(t.options),
                "copies": [dict(c) for c in t.copies],
                "witness": t.witness,
                "recorded": _recorded(t),
                "timeout": limits.artifact_seconds,
                "output_bytes": limits.output_bytes,
            }
            for t in tasks
        ],
    }


def _recorded(task: Task) -> dict[str, str] | None:
    """The digests of the recorded outputs, but not for code that the archive contains or names.

    Such code could search for bytes that have these digests. It gets digests that no bytes have, so the
    model's file is always saved again.
    """
    if task.recorded is None:
        return None
    return {name: _NO_DIGEST if task.runs_code else sha256 for name, sha256 in task.recorded.items()}
