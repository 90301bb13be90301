"""Sealing: an artifact is replayed twice, in two fresh containers, before anyone may rely on it.

The second run has another seed, so that a model which draws random numbers is found out: one seed for both
would hide it. Only where the seed alone makes the difference may such a model be kept, and marked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from timeproof.base.limits import Limits
from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import Engine
from timeproof.errors import SealFailed
from timeproof.frameworks.base import Saved
from timeproof.runs.container_run import Task, run_probe
from timeproof.runs.probe_stream import Outcome, ProbeRun
from timeproof.sealing import diagnosis
from timeproof.store import reference
from timeproof.store.schema.v1 import ProfileRecord

# The first is what every replay uses. The second is large: onnxruntime's generator takes 0 and 1 for one.
SEEDS = (0, 1_000_003)

Arrays = dict[str, reference.Array]


@dataclass(frozen=True, slots=True)
class Replays:
    """What the seal's runs gave: the outputs on which they agree, and the first run's outcome."""

    runs: Sequence[ProbeRun]
    outputs: Arrays
    outcome: Outcome
    random: bool = False  # two seeds give two answers; the outputs are those of the first

    @property
    def python(self) -> str:
        """The version of Python in the container; empty where the probe does not say it."""
        return str(self.runs[0].hello.get("python", ""))


@dataclass(frozen=True, slots=True)
class SealContainers:
    """Where one artifact is run while it is sealed: each run has a connection and a container of its own."""

    connect: Callable[[], Engine]
    image: str  # an id that the engine holds
    task: Task
    profile: ProfileRecord
    limits: Limits

    def run_seeds(self, seeds: Sequence[int] = SEEDS) -> list[ProbeRun]:
        """Run the probe once for each seed, side by side."""
        with ThreadPoolExecutor(len(seeds)) as pool:
            futures = [
                pool.submit(
                    run_probe,
                    self.connect(),
                    self.image,
                    [_seeded(self.task, seed)],
                    self.profile,
                    limits=self.limits,
                )
                for seed in seeds
            ]
            return [future.result() for future in futures]

    def without_copies(self, profile: ProfileRecord | None = None) -> SealContainers:
        """The same for the native model alone, under another profile where one is given."""
        return replace(self, task=replace(self.task, copies=()), profile=profile or self.profile)


def _seeded(task: Task, seed: int) -> Task:
    return replace(
        task,
        options={**task.options, "seed": seed},
        copies=tuple({**c, "options": {**c["options"], "seed": seed}} for c in task.copies),
    )


def require_agreement(runs: Sequence[ProbeRun]) -> Arrays:
    """Give the outputs on which every run agrees, bit for bit. Raises SealFailed."""
    first, *repeats = [_require_outputs(run, (), None) for run in runs]
    for repeat in repeats:
        if difference := _describe_difference(first.native, repeat.native):
            raise SealFailed(
                f"two runs of the same model on the same inputs differ: {difference}",
                advice="is dropout left on, or an operator random? Nothing was published",
            )
    return dict(first.native)


def settle_answer(
    runs: Sequence[ProbeRun],
    left_out: Sequence[Sequence[str]],
    saved: Saved,
    folder: Path,
    again: Callable[[], ProbeRun],
    *,
    keep_random: bool = False,
) -> Replays:
    """Hold the runs of several seeds against each other.

    Args:
        saved: what the adapter wrote into `folder`, to name the probable cause.
        again: makes one more run with the first seed; called only where two runs differ.
        keep_random: let a model pass whose answer depends on the seed alone.

    Raises:
        SealFailed: it doesn't replay, or not twice alike.
    """
    first, *repeats = [_require_outputs(run, left_out, saved) for run in runs]
    for repeat in repeats:
        if difference := _describe_difference(first.native, repeat.native):
            _check_seeded(first.native, difference, again, saved, folder, keep_random)
            return Replays(runs, dict(first.native), first, random=True)
    return Replays(runs, dict(first.native), first)


def _require_outputs(run: ProbeRun, left_out: Sequence[Sequence[str]], saved: Saved | None) -> Outcome:
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


def _describe_difference(
    expected: Mapping[str, reference.Array], actual: Mapping[str, reference.Array]
) -> str:
    """Say how two answers differ; empty where every bit is equal."""
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
    if third.failure is not None or _describe_difference(native, third.native):
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
