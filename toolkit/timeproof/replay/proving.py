"""Portability, proved while an artifact is sealed: the probe asked again on CPUs that are simulated.

What is recorded is what was found, output by output: identical, or by how much it moved. A CPU on which the
model does not run is a finding, too; nothing here refuses an artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from timeproof.archive.model import EmulatorRecord, JsonObject, ProfileRecord, Proof
from timeproof.engine.base import Engine
from timeproof.errors import SealFailed
from timeproof.limits import Limits
from timeproof.progress import SILENT, Progress
from timeproof.replay.compare import compare_outputs
from timeproof.replay.emulation import PROVED, WITNESS, Emulator, Simulated, slowed
from timeproof.replay.probing import Outcome, ProbeRun, Task, run_probe
from timeproof.replay.profile import profile_named
from timeproof.replay.sealing import Arrays, agreed
from timeproof.replay.verdict import Verdict

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


def prove(
    connect: Callable[[], Engine],
    image: str,
    task: Task,
    profile: ProfileRecord,
    outputs: Arrays,
    emulator: Emulator,
    limits: Limits,
    progress: Progress = SILENT,
    *,
    cpus: Sequence[str] = PROVED,
) -> list[Proof]:
    """What the model answers on each of `cpus`, and on this one without a profile.

    Args:
        outputs: the reference, with which all is compared.
    """
    proofs = []
    native = profile_named("native")
    if profile != native:
        progress.step("Running without a profile, to see which outputs need one")
        run = run_probe(connect(), image, [replace(task, copies=())], native, limits=limits)
        told = run.hello.get("machine")
        here = str(told.get("cpu") or "this CPU") if isinstance(told, dict) else "this CPU"
        proofs.append(_proof(run, outputs, here[:1024], native, None))
    runs = simulate(connect, image, task, profile, emulator, cpus, limits, progress)
    proofs += [_proof(r, outputs, c, profile, emulator.record) for c, r in zip(cpus, runs, strict=True)]
    return proofs


def emulated_answers(
    connect: Callable[[], Engine],
    image: str,
    task: Task,
    profile: ProfileRecord,
    emulator: Emulator,
    limits: Limits,
    progress: Progress = SILENT,
) -> Arrays:
    """The outputs of an emulated witness: two simulated runs that agree, bit for bit. Raises SealFailed."""
    runs = simulate(connect, image, task, profile, emulator, [WITNESS] * 2, limits, progress)
    try:
        return agreed(runs, ())[0]
    except SealFailed as error:
        raise SealFailed(
            f"on a simulated {WITNESS}: {error.message}",
            advice="leave the emulated witness out, or give the model less to do; nothing was published",
        ) from error


def _proof(
    run: ProbeRun, outputs: Arrays, cpu: str, profile: ProfileRecord, emulator: EmulatorRecord | None
) -> Proof:
    outcome: Outcome = next(iter(run.outcomes.values()))
    verdict, reason = outcome.failure, outcome.reason
    found: dict[str, JsonObject] = {}
    if verdict is None:
        diff = compare_outputs(outputs, outcome.native)
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
