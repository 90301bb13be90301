"""One container of the probe, from the host's side: a job in, each artifact's outcome out.

What comes back is heard by `outcome.Reader`, which believes none of it.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timeproof import strictjson
from timeproof.archive.model import FileEntry, ProfileRecord
from timeproof.engine.base import Engine, Mount, ReadExactly, RunResult, RunSpec
from timeproof.limits import LIMITS, Limits
from timeproof.probe import wire
from timeproof.replay.outcome import Distrust, Outcome, ProbeRun, Reader
from timeproof.replay.verdict import Verdict

if TYPE_CHECKING:
    from timeproof.replay.emulation import Simulated

_LATER = 30.0  # seconds after which a probe ends by itself that its host has not ended


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
    # Output → SHA-256 of its bytes: where the answer is another, the model's file is saved again, too.
    recorded: Mapping[str, str] | None = None


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
            runners = {t.id: {"native", *(str(c["name"]) for c in t.copies)} for t in tasks}
            reader = Reader(run, runners, limits, on_outcome)
            distrust = ""

            def consume(read: ReadExactly) -> None:
                nonlocal distrust
                try:
                    reader(read)
                except (Distrust, wire.WireError) as error:
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
                "recorded": None if t.recorded is None else dict(t.recorded),
                "timeout": limits.artifact_seconds,
                "output_bytes": limits.output_bytes,
            }
            for t in tasks
        ],
    }
