"""Portability, proved while an artifact is sealed: the probe asked again on CPUs that are simulated.

What is recorded is what was found, output by output: identical, or by how much it moved. A CPU on which the
model does not run is a finding, too; nothing here refuses an artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from timeproof.base.limits import Limits
from timeproof.base.progress import SILENT, Progress
from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import THRESHOLDS, Thresholds, Verdict
from timeproof.engines.protocol import Engine
from timeproof.errors import SealFailed
from timeproof.runs.container_run import Task, run_probe
from timeproof.runs.cpu_emulator import PROVED, SPARE, WITNESS, Emulator, Simulated, slowed
from timeproof.runs.probe_stream import Outcome, ProbeRun
from timeproof.runs.profiles import profile_named
from timeproof.sealing.double_run import Arrays, agreed
from timeproof.store.schema.document import JsonObject
from timeproof.store.schema.v1 import EmulatorRecord, ProfileRecord, Proof

_AT_ONCE = 2  # a simulated run takes all of one core


def simulate(
    connect: Callable[[], Engine],
    image: str,
    task: Task,
    profile: ProfileRecord,
    emulator: Emulator,
    cpus: Sequence[str],
    limits: Limits,
    progress: Progress = SILENT,
) -> list[ProbeRun]:
    """Run the probe once for each of `cpus`, in their order, two side by side.

    Copies are left out: they are no part of the answer.
    """
    alone = replace(task, copies=())
    names = ", ".join(dict.fromkeys(cpus))
    progress.step(f"Running on simulated CPUs ({names}): 5 to 90 times slower than here")

    def run(cpu: str) -> ProbeRun:
        made = run_probe(
            connect(), image, [alone], profile, limits=slowed(limits), simulated=Simulated(emulator, cpu)
        )
        progress.detail(f"{cpu}: done")
        return made

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(run, cpus))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the model answered on other CPUs: proofs, and the outputs of an emulated witness."""

    proofs: list[Proof] = field(default_factory=list)
    witness: Arrays | None = None
    cpu: str = WITNESS  # that gave the witness


def elsewhere(
    connect: Callable[[], Engine],
    image: str,
    task: Task,
    profile: ProfileRecord,
    outputs: Arrays,
    emulator: Emulator,
    limits: Limits,
    progress: Progress = SILENT,
    *,
    prove: bool,
    witness: bool,
    thresholds: Thresholds = THRESHOLDS,
    scores: Mapping[str, bool] | None = None,
) -> Elsewhere:
    """Run a model that is being sealed on simulated CPUs, each once, but the witness's twice.

    Args:
        outputs: the reference, with which all is compared.
        prove: also run it here without a profile, and say of every output what it gave.
        witness: take the outputs of one CPU as a second reference: the oldest on which it runs.
        thresholds, scores: the artifact's own figures and marks, by which what moves is graded.

    Raises SealFailed where the witness's two runs fail or differ.
    """
    proofs = []
    if prove and profile != profile_named("native"):
        proofs.append(_here(connect(), image, task, outputs, thresholds, scores, limits, progress))
    cpus = [*([WITNESS] * 2 if witness else []), *(PROVED if prove else [])]
    if witness and prove:
        cpus.remove(WITNESS)  # one of the witness's two runs is the proof
    runs = simulate(connect, image, task, profile, emulator, cpus, limits, progress)
    first = dict(reversed(list(zip(cpus, runs, strict=True))))
    if prove:
        proofs += [
            _proof(first[cpu], outputs, thresholds, scores, cpu, profile, emulator.record) for cpu in PROVED
        ]
    if not witness:
        return Elsewhere(proofs)
    if _is_beyond(runs[0]):
        runs = simulate(connect, image, task, profile, emulator, [SPARE] * 2, limits, progress)
        return Elsewhere(proofs, _agreed(runs, SPARE), SPARE)
    return Elsewhere(proofs, _agreed(runs[:2], WITNESS))


def _is_beyond(run: ProbeRun) -> bool:
    """Whether this CPU can't run the model at all; a CPU of another kind may."""
    return next(iter(run.outcomes.values())).failure in {Verdict.crashed, Verdict.refused}


def _agreed(runs: Sequence[ProbeRun], cpu: str) -> Arrays:
    try:
        return agreed(runs, ())[0]
    except SealFailed as error:
        raise SealFailed(
            f"on a simulated {cpu}: {error.message}",
            advice="leave the emulated witness out, or give the model less to do; nothing was published",
        ) from error


def _here(
    engine: Engine,
    image: str,
    task: Task,
    outputs: Arrays,
    thresholds: Thresholds,
    scores: Mapping[str, bool] | None,
    limits: Limits,
    progress: Progress,
) -> Proof:
    """Run it on this machine's own CPU without a profile: which outputs need one?"""
    progress.step("Running without a profile, to see which outputs need one")
    native = profile_named("native")
    run = run_probe(engine, image, [replace(task, copies=())], native, limits=limits)
    told = run.hello.get("machine")
    cpu = str(told.get("cpu") or "this CPU") if isinstance(told, dict) else "this CPU"
    return _proof(run, outputs, thresholds, scores, cpu[:1024], native, None)


def _proof(
    run: ProbeRun,
    outputs: Arrays,
    thresholds: Thresholds,
    scores: Mapping[str, bool] | None,
    cpu: str,
    profile: ProfileRecord,
    emulator: EmulatorRecord | None,
) -> Proof:
    outcome: Outcome = next(iter(run.outcomes.values()))
    verdict, reason = outcome.failure, outcome.reason
    found: dict[str, JsonObject] = {}
    if verdict is None:
        diff = compare_outputs(outputs, outcome.native, thresholds=thresholds, scores=scores)
        verdict, reason = diff.verdict, diff.summary()
        for name, one in diff.arrays.items():
            # What did not move needs no figures.
            same = one.verdict is Verdict.identical
            found[name] = {"verdict": "identical"} if same else dict(one.to_json())
    return Proof(
        cpu=cpu,
        profile=profile.name,
        emulator=emulator.sha256 if emulator is not None else None,
        verdict=str(verdict),
        reason=reason[:4096],
        outputs=found,
        seconds=round(run.result.seconds, 3),
    )
