"""Explaining a difference: the artifact runs in further ways, to find out which one restores identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from timeproof.base.limits import Limits
from timeproof.base.progress import Progress
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import Engine
from timeproof.errors import TimeproofError
from timeproof.replaying.grading import judge_outcome, task_of
from timeproof.replaying.result import Replayed, Tried
from timeproof.runs.container_run import run_probe
from timeproof.runs.cpu_emulator import WITNESS, Simulated, recorded_emulator, slowed
from timeproof.runs.parallel import run_shared
from timeproof.runs.probe_stream import Outcome
from timeproof.runs.profiles import profile_named
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import Metadata, ProfileRecord

Judged = tuple[Ref, Metadata, Replayed]

# Nothing was run, or nobody knows what: no other way of running it explains that.
_UNTRIED = frozenset({Verdict.altered, Verdict.lost})


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run artifacts: a profile, on this machine's own CPU or on a simulated one."""

    name: str
    profile: ProfileRecord


def ways(used: ProfileRecord, recorded: Sequence[ProfileRecord]) -> list[Way]:
    """The ways that differ from the one that was used: as recorded, native, portable."""
    found = [Way(f"as recorded: {p.name}", p) for p in recorded]
    found += [Way(name, profile_named(name)) for name in ("native", "portable")]
    kept: list[Way] = []
    for way in found:
        if way.profile != used and all(way.profile != k.profile for k in kept):
            kept.append(way)
    return kept


def try_ways(
    archive: Archive,
    engine: Engine,
    image: str,
    used: ProfileRecord,
    judged: Sequence[Judged],
    limits: Limits,
    progress: Progress,
) -> None:
    """Run what differs in every further way, and put down what came of it."""
    asked = {str(r): (r, m, one) for r, m, one in judged if not one.ok and one.verdict not in _UNTRIED}
    if not asked:
        return
    for way in ways(used, [m.profile for _, m, _ in asked.values()]):
        progress.step(f"Trying {len(asked)} {way.name}")
        tasks = [task_of(archive, ref, metadata) for ref, metadata, _ in asked.values()]
        run_shared(engine, image, tasks, way.profile, limits=limits, on_outcome=_noting(archive, asked, way))
    _try_emulated(archive, engine, image, asked, limits, progress)
    for _, _, one in asked.values():
        restoring = [t.way for t in one.tried if t.verdict is Verdict.identical]
        told = f"identical again: {', '.join(restoring)}" if restoring else "none of these is identical"
        one.notes.append(told)


def _try_emulated(
    archive: Archive,
    engine: Engine,
    image: str,
    asked: dict[str, Judged],
    limits: Limits,
    progress: Progress,
) -> None:
    """Run each as it was recorded, on a simulated CPU without AVX; say so where that can't be done here."""
    for ref, metadata, one in asked.values():
        way = Way(f"emulated: {WITNESS}", metadata.profile)
        try:
            emulator = recorded_emulator(archive, metadata)
        except TimeproofError as error:
            one.tried.append(Tried(way.name, None, error.message))
            continue
        progress.step(f"Trying {ref} {way.name}: 5 to 90 times slower than here")
        run_probe(
            engine,
            image,
            [task_of(archive, ref, metadata)],
            way.profile,
            limits=slowed(limits),
            on_outcome=_noting(archive, asked, way),
            simulated=Simulated(emulator, WITNESS),
        )


def _noting(archive: Archive, asked: dict[str, Judged], way: Way) -> Callable[[Outcome], None]:
    def note(outcome: Outcome) -> None:
        ref, metadata, one = asked[outcome.id]
        found = judge_outcome(archive, ref, metadata, outcome)
        outcome.outputs = {}
        one.tried.append(Tried(way.name, found.verdict, found.reason, outcome.seconds))

    return note
