"""Portability, proved while an artifact is sealed: the probe asked again on CPUs that are simulated.

What is recorded is what was measured, output by output: identical, or by how much it moved. A CPU on which
the model does not run is a result, too; nothing here refuses an artifact.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from timeproof.base.progress import SILENT, Progress
from timeproof.compare.difference import ArrayDiff
from timeproof.compare.verdict import Verdict
from timeproof.errors import SealFailed
from timeproof.runs.container_run import run_probe
from timeproof.runs.cpu_emulator import PROVED, SPARE, WITNESS, Emulator, Simulated, slowed
from timeproof.runs.probe_stream import Outcome, ProbeRun
from timeproof.runs.profiles import profile_named
from timeproof.sealing.double_run import Arrays, SealContainers, require_agreement
from timeproof.sealing.sealed_answer import SealedAnswer
from timeproof.store.schema.records import ArrayDistance, Machine
from timeproof.store.schema.v1 import EmulatorRecord, ProfileRecord, Proof

_AT_ONCE = 2  # a simulated run takes all of one core


def simulate(
    containers: SealContainers, emulator: Emulator, cpus: Sequence[str], progress: Progress = SILENT
) -> list[ProbeRun]:
    """Run the probe once for each of `cpus`, in their order, two side by side.

    Copies are left out: they are no part of the answer.
    """
    native = containers.without_copies()
    names = ", ".join(dict.fromkeys(cpus))
    progress.step(f"Running on simulated CPUs ({names}): 5 to 90 times slower than here")

    def run(cpu: str) -> ProbeRun:
        answer = run_probe(
            native.connect(),
            native.image,
            [native.task],
            native.profile,
            limits=slowed(native.limits),
            simulated=Simulated(emulator, cpu),
        )
        progress.detail(f"{cpu}: done")
        return answer

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(run, cpus))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the model answered on other CPUs: proofs, and the outputs of an emulated witness."""

    proofs: list[Proof] = field(default_factory=list)
    witness: Arrays | None = None
    cpu: str = WITNESS  # that gave the witness


def run_elsewhere(
    containers: SealContainers,
    sealed: SealedAnswer,
    emulator: Emulator,
    progress: Progress = SILENT,
    *,
    prove: bool,
    witness: bool,
) -> Elsewhere:
    """Run a model that is being sealed on simulated CPUs, each once, but the witness's twice.

    Args:
        sealed: the reference, with which all is compared.
        prove: also run it here without a profile, and say of every output what it gave.
        witness: take the outputs of one CPU as a second reference: the oldest on which it runs.

    Raises SealFailed where the witness's two runs fail or differ.
    """
    proofs = []
    if prove and containers.profile != profile_named("native"):
        proofs.append(_prove_without_profile(containers, sealed, progress))
    cpus = [*([WITNESS] * 2 if witness else []), *(PROVED if prove else [])]
    if witness and prove:
        cpus.remove(WITNESS)  # one of the witness's two runs is the proof
    runs = simulate(containers, emulator, cpus, progress)
    first = dict(reversed(list(zip(cpus, runs, strict=True))))
    if prove:
        proofs += [_proof(first[cpu], sealed, cpu, containers.profile, emulator.record) for cpu in PROVED]
    if not witness:
        return Elsewhere(proofs)
    if _is_beyond(runs[0]):
        runs = simulate(containers, emulator, [SPARE] * 2, progress)
        return Elsewhere(proofs, _require_twice(runs, SPARE), SPARE)
    return Elsewhere(proofs, _require_twice(runs[:2], WITNESS))


def _is_beyond(run: ProbeRun) -> bool:
    """Whether this CPU can't run the model at all; a CPU of another kind may."""
    return next(iter(run.outcomes.values())).failure in {Verdict.crashed, Verdict.refused}


def _require_twice(runs: Sequence[ProbeRun], cpu: str) -> Arrays:
    try:
        return require_agreement(runs)
    except SealFailed as error:
        raise SealFailed(
            f"on a simulated {cpu}: {error.message}",
            advice="leave the emulated witness out, or give the model less to do; nothing was published",
        ) from error


def _prove_without_profile(containers: SealContainers, sealed: SealedAnswer, progress: Progress) -> Proof:
    """Run it on this machine's own CPU without a profile: which outputs need one?"""
    progress.step("Running without a profile, to see which outputs need one")
    native = containers.without_copies(profile_named("native"))
    run = run_probe(native.connect(), native.image, [native.task], native.profile, limits=native.limits)
    cpu = Machine.read(run.hello.get("machine")).cpu or "this CPU"
    return _proof(run, sealed, cpu[:1024], native.profile, None)


def _proof(
    run: ProbeRun, sealed: SealedAnswer, cpu: str, profile: ProfileRecord, emulator: EmulatorRecord | None
) -> Proof:
    outcome: Outcome = next(iter(run.outcomes.values()))
    verdict, reason = outcome.failure, outcome.reason
    outputs: dict[str, ArrayDistance] = {}
    if verdict is None:
        difference = sealed.compare(outcome.native)
        verdict, reason = difference.verdict, difference.summary()
        outputs = {name: _array_distance(array) for name, array in difference.arrays.items()}
    return Proof(
        cpu=cpu,
        profile=profile.name,
        emulator=emulator.sha256 if emulator is not None else None,
        verdict=str(verdict),
        reason=reason[:4096],
        outputs=outputs,
        seconds=round(run.result.seconds, 3),
    )


def _array_distance(difference: ArrayDiff) -> ArrayDistance:
    """The record of one output's difference. What did not move needs no figures."""
    if difference.verdict is Verdict.identical:
        return ArrayDistance(verdict="identical")
    return ArrayDistance.model_validate(difference.to_json())
