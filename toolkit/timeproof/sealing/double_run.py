"""Sealing: an artifact is replayed twice, in two fresh containers, before anyone may rely on it.

The second run has another seed, so that a model which draws random numbers is found out: one seed for both
would hide it. Only where the seed alone makes the difference may such a model be kept, and marked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from timeproof.base.limits import Limits
from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import Engine
from timeproof.errors import SealFailed
from timeproof.frameworks.base import RANDOM, Saved
from timeproof.runs.container_run import Task, run_probe
from timeproof.runs.probe_stream import Outcome, ProbeRun
from timeproof.sealing import diagnosis
from timeproof.store import reference
from timeproof.store.schema.v1 import ProfileRecord

# The first is what every replay uses. The second is large: onnxruntime's generator takes 0 and 1 for one.
SEEDS = (0, 1_000_003)

Arrays = dict[str, reference.Array]


def seal(
    connect: Callable[[], Engine],
    image: str,
    task: Task,
    profile: ProfileRecord,
    limits: Limits,
    seeds: Sequence[int] = SEEDS,
) -> list[ProbeRun]:
    """Run the probe once for each seed, in fresh containers, side by side."""
    with ThreadPoolExecutor(len(seeds)) as pool:
        started = [
            pool.submit(run_probe, connect(), image, [_seeded(task, seed)], profile, limits=limits)
            for seed in seeds
        ]
        return [s.result() for s in started]


def _seeded(task: Task, seed: int) -> Task:
    return replace(
        task,
        options={**task.options, "seed": seed},
        copies=tuple({**c, "options": {**c["options"], "seed": seed}} for c in task.copies),
    )


def agreed(runs: Sequence[ProbeRun], left_out: Sequence[Sequence[str]]) -> tuple[Arrays, Outcome]:
    """Give the outputs on which every run agrees, bit for bit. Raises SealFailed."""
    first, *others = [_answered(r, left_out, None) for r in runs]
    for other in others:
        if difference := _differ(first.native, other.native):
            raise SealFailed(
                f"two runs of the same model on the same inputs differ: {difference}",
                advice="is dropout left on, or an operator random? Nothing was published",
            )
    return dict(first.native), first


def settled(
    runs: Sequence[ProbeRun],
    left_out: Sequence[Sequence[str]],
    saved: Saved,
    folder: Path,
    again: Callable[[], ProbeRun],
    *,
    keep_random: bool = False,
) -> tuple[Arrays, Outcome, tuple[str, ...]]:
    """Give the outputs on which runs of several seeds agree; the first run's outcome; and what was kept.

    Args:
        saved: what the adapter wrote into `folder`, to name the probable cause.
        again: makes one more run with the first seed; called only where two runs differ.
        keep_random: let a model pass whose answer depends on the seed alone.

    Raises:
        SealFailed: it doesn't replay, or not twice alike.
    """
    first, *others = [_answered(r, left_out, saved) for r in runs]
    for other in others:
        if difference := _differ(first.native, other.native):
            _check_seeded(first.native, difference, again, saved, folder, keep_random)
            return dict(first.native), first, (RANDOM,)
    return dict(first.native), first, ()


def _answered(run: ProbeRun, left_out: Sequence[Sequence[str]], saved: Saved | None) -> Outcome:
    """The outcome of the one artifact of a run. Raises SealFailed where it has no outputs."""
    outcome = next(iter(run.outcomes.values()))
    if outcome.failure is not None:
        detail = f" (signal {outcome.signal})" if outcome.signal else ""
        log = f"\nThe last of what it printed:\n{outcome.log[-2000:]}" if outcome.log.strip() else ""
        raise SealFailed(
            f"the artifact does not replay in its container: {outcome.failure}{detail}:"
            f" {outcome.reason}{log}",
            advice=diagnosis.advice(outcome.reason, left_out, saved),
        )
    if not outcome.native:
        raise SealFailed("the model gave no outputs", advice="nothing was published")
    return outcome


def _differ(expected: Mapping[str, reference.Array], actual: Mapping[str, reference.Array]) -> str:
    """How two answers differ; empty where every bit is equal."""
    diff = compare_outputs(expected, actual)
    return "" if diff.verdict is Verdict.identical else diff.summary()


def _check_seeded(
    native: Mapping[str, reference.Array],
    difference: str,
    again: Callable[[], ProbeRun],
    saved: Saved,
    folder: Path,
    keep_random: bool,
) -> None:
    """Refuse a model whose two answers differ, unless it is to be kept and one seed gives one answer."""
    cause = diagnosis.named(diagnosis.suspects(saved, folder))
    third = next(iter(again().outcomes.values()))
    if third.failure is not None or _differ(native, third.native):
        raise SealFailed(
            f"two runs of the same model on the same inputs differ, and no seed makes them alike:"
            f" {difference}{cause}",
            advice="it draws random numbers that neither Python's, NumPy's nor torch's seed governs, reads"
            " the clock, or adds up in the order of its threads (--profile portable has one): give it such"
            " values as inputs. Nothing was published",
        )
    if not keep_random:
        raise SealFailed(
            f"the model draws random numbers: two seeds give two answers that differ: {difference}{cause}",
            advice="is dropout left on (F.dropout without training=self.training), or an operator random?"
            " Switch it off, or give the noise as an input; or keep the answer of one seed, marked, with"
            " --keep-random (keep_random=True). Nothing was published",
        )
