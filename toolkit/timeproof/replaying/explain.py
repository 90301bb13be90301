"""Explaining a difference: the artifact runs in further ways, to find out which one restores identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from timeproof.compare.verdict import Verdict
from timeproof.errors import TimeproofError
from timeproof.replaying.grading import judge_outcome, task_of
from timeproof.replaying.result import Attempt
from timeproof.replaying.run_context import JudgedArtifact, RunContext
from timeproof.runs.container_run import run_probe
from timeproof.runs.cpu_emulator import WITNESS, Simulated, recorded_emulator, slowed
from timeproof.runs.parallel import run_shared
from timeproof.runs.probe_stream import Outcome
from timeproof.runs.profiles import profile_named
from timeproof.store.layout import Archive
from timeproof.store.schema.v1 import ProfileRecord

# Nothing was run, or its result is unknown: another way of running it explains neither.
_INEXPLICABLE = frozenset({Verdict.altered, Verdict.lost})


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run artifacts: a profile, on this machine's own CPU or on a simulated one."""

    name: str
    profile: ProfileRecord


def ways(used: ProfileRecord, recorded: Sequence[ProfileRecord]) -> list[Way]:
    """The ways that differ from the one that was used: as recorded, native, portable."""
    candidates = [Way(f"as recorded: {p.name}", p) for p in recorded]
    candidates += [Way(name, profile_named(name)) for name in ("native", "portable")]
    distinct: list[Way] = []
    for way in candidates:
        if way.profile != used and all(way.profile != other.profile for other in distinct):
            distinct.append(way)
    return distinct


def try_ways(context: RunContext, judged: Sequence[JudgedArtifact]) -> None:
    """Run what differs in every further way, and record each result."""
    differing = {str(j.ref): j for j in judged if not j.result.ok and j.result.verdict not in _INEXPLICABLE}
    if not differing:
        return
    for way in ways(context.profile, [j.metadata.profile for j in differing.values()]):
        context.progress.step(f"Trying {len(differing)} {way.name}")
        tasks = [task_of(context.archive, j.ref, j.metadata) for j in differing.values()]
        run_shared(
            context.engine,
            context.image,
            tasks,
            way.profile,
            limits=context.limits,
            on_outcome=_noting(context.archive, differing, way),
        )
    _try_emulated(context, differing)
    for _, _, result in differing.values():
        restoring = [attempt.way for attempt in result.tried if attempt.verdict is Verdict.identical]
        result.notes.append(
            f"identical again: {', '.join(restoring)}" if restoring else "none of these is identical"
        )


def _try_emulated(context: RunContext, differing: dict[str, JudgedArtifact]) -> None:
    """Run each as it was recorded, on a simulated CPU without AVX; record why where that is impossible."""
    for ref, metadata, result in differing.values():
        way = Way(f"emulated: {WITNESS}", metadata.profile)
        try:
            emulator = recorded_emulator(context.archive, metadata)
        except TimeproofError as error:
            result.tried.append(Attempt(way.name, None, error.message))
            continue
        context.progress.step(f"Trying {ref} {way.name}: 5 to 90 times slower than here")
        run_probe(
            context.engine,
            context.image,
            [task_of(context.archive, ref, metadata)],
            way.profile,
            limits=slowed(context.limits),
            on_outcome=_noting(context.archive, differing, way),
            simulated=Simulated(emulator, WITNESS),
        )


def _noting(archive: Archive, differing: dict[str, JudgedArtifact], way: Way) -> Callable[[Outcome], None]:
    def note(outcome: Outcome) -> None:
        ref, metadata, result = differing[outcome.id]
        attempt = judge_outcome(archive, ref, metadata, outcome)
        outcome.outputs = {}
        result.tried.append(Attempt(way.name, attempt.verdict, attempt.reason, outcome.seconds))

    return note
