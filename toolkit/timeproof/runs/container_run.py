"""One container of the probe, from the host's side: a job in, each artifact's outcome out.

What comes back is heard by `outcome.Reader`, which believes none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from timeproof.base import atomic, strictjson
from timeproof.base.limits import LIMITS, Limits
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import Engine, Mount, ReadExactly, RunResult, RunSpec
from timeproof.runs.private_folder import INSIDE, PrivateFolder
from timeproof.runs.probe_stream import Outcome, ProbeRun, ProtocolViolation, Reader
from timeproof.runs.task import Task as Task  # whoever runs the probe makes one
from timeproof.store.schema.v1 import ProfileRecord
from timeproof_probe import wire

if TYPE_CHECKING:
    from timeproof.runs.cpu_emulator import Simulated

_NO_DIGEST = "0" * 64
_LATER = 30.0  # seconds after which a probe ends by itself that its host has not ended


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

    A crash, a refusal, a timeout of one artifact is its outcome, and the others go on. Where the
    container itself ends early, the artifacts without a result are lost, timed out or out of memory. An
    artifact whose files are not the recorded ones is `altered`, and nothing of it enters the container.

    Args:
        image: an id that the engine holds.
        on_outcome: called as soon as an artifact is done, in the probe's order.
        hello: filled with what the probe says of itself and its machine, before the first outcome.
        simulated: the CPU on which the probe shall believe to run; it takes 5 to 90 times longer.
        folder: the copies of the tasks' files, where they are made already; removed at the end.

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
        well = [t for t in tasks if t.id in private.handed]
        if well:
            _run_container(engine, image, well, profile, run, private, limits, on_outcome, simulated)
    return run


def _run_container(
    engine: Engine,
    image: str,
    tasks: Sequence[Task],
    profile: ProfileRecord,
    run: ProbeRun,
    private: PrivateFolder,
    limits: Limits,
    on_outcome: Callable[[Outcome], None],
    simulated: Simulated | None,
) -> None:
    seconds = min(limits.container_seconds, 60.0 + limits.artifact_seconds * len(tasks))
    job = private.path / "job.json"
    with atomic.storage(job):
        job.write_bytes(strictjson.dumps(_job(tasks, private, profile, limits, seconds + _LATER)))
        job.chmod(0o644)
    spec = RunSpec(
        image=image,
        argv=("/job/job.json",),
        env=profile.variables,
        mounts=(Mount(job, "/job/job.json"), Mount(private.path / "in", INSIDE)),
        memory=limits.container_memory,
        pids=limits.container_pids,
        timeout=seconds,
    )
    if simulated is not None:
        from timeproof.runs.cpu_emulator import emulated  # only a simulation needs it

        spec = emulated(spec, simulated, private.path)
    runners = {t.id: {"native", *(str(c["name"]) for c in t.copies)} for t in tasks}
    reader = Reader(run, runners, limits, on_outcome)
    distrust = ""

    def consume(read: ReadExactly) -> None:
        nonlocal distrust
        try:
            reader(read)
        except (ProtocolViolation, wire.WireError) as error:
            distrust = f"the container wrote what no probe writes: {error}"

    run.result = engine.run(spec, consume)
    for task in tasks:
        if task.id not in reader.finished:
            _explain_missing(run.outcomes[task.id], run.result, distrust)
            on_outcome(run.outcomes[task.id])


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
    """The digests of the recorded outputs; never for code, which could try out what has them.

    It is told digests that nothing has: its file is saved again, whatever it answers.
    """
    if task.recorded is None:
        return None
    return {name: _NO_DIGEST if task.runs_code else sha256 for name, sha256 in task.recorded.items()}
