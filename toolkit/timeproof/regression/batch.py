"""One piece of a regression: some artifacts in one environment, run in turn. Cells come out.

This is all that a worker does, here or on another machine. It decides nothing about retries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS, Limits
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import Engine
from timeproof.errors import BadArchive
from timeproof.regression.report import Cell
from timeproof.regression.reports.labels import round_trip_said
from timeproof.replaying.flow import judge_outcome, task_of
from timeproof.runs.parallel import run_shared
from timeproof.runs.probe_stream import Outcome
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import Metadata, ProfileRecord
from timeproof.store.verify import read_artifact

OnCell = Callable[[Cell, Mapping[str, Any]], None]
"""Called with each cell as soon as it is known, and with what the container says of its machine."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Artifacts that one worker runs, in turn: one environment, one profile."""

    environment: str  # its folder in the archive
    profile: ProfileRecord
    refs: tuple[str, ...]
    attempt: int = 1


def answer_of(outputs: Mapping[str, reference.Array]) -> str:
    """The SHA-256 over all outputs: names, dtypes, shapes and bytes."""
    specs = [reference.spec_of(name, "output_0", array) for name, array in outputs.items()]
    told = "".join(f"{s.name}\0{s.dtype}\0{s.shape}\0{s.sha256}\n" for s in specs)
    return Digest.of(told.encode("utf-8", "surrogatepass")).hex


def run_batch(
    archive: Archive,
    batch: Batch,
    image: str,
    engine: Engine,
    on_cell: OnCell,
    *,
    limits: Limits = LIMITS,
) -> None:
    """Run every artifact of `batch` in containers of `image`, each judged as soon as it is done.

    They share one, but for those that run code of their own: each of these has its own, one after the
    other. An artifact whose bytes are not the recorded ones is `altered`, and is never loaded.

    Args:
        image: an id that the engine holds.

    Raises EngineLost / EngineFailed: the cells that were given before stay given.
    """
    known: dict[str, tuple[Ref, Metadata]] = {}
    for name in batch.refs:
        ref = archive.resolve(name)
        try:
            known[name] = ref, read_artifact(archive, ref)
        except BadArchive as error:
            on_cell(_cell(batch, name, Verdict.altered, error.message), {})
    if not known:
        return

    def done(outcome: Outcome) -> None:
        ref, metadata = known[outcome.id]
        if outcome.error is not None:
            on_cell(_cell(batch, outcome.id, Verdict.altered, outcome.reason), {})
            return
        on_cell(_judged(archive, batch, ref, metadata, outcome), machine_of(outcome.hello))
        outcome.outputs = {}  # memory is bounded by one artifact

    tasks = [
        replace(task_of(archive, ref, metadata), recorded={o.name: o.sha256 for o in metadata.outputs})
        for ref, metadata in known.values()
    ]
    run_shared(engine, image, tasks, batch.profile, limits=limits, on_outcome=done, containers=1, width=1)


def machine_of(hello: Mapping[str, Any]) -> Mapping[str, Any]:
    told = hello.get("machine")
    return told if isinstance(told, dict) else {}


def _judged(archive: Archive, batch: Batch, ref: Ref, metadata: Metadata, outcome: Outcome) -> Cell:
    answer = answer_of(outcome.native) if outcome.failure is None else None
    found = judge_outcome(archive, ref, metadata, outcome)
    notes = list(found.notes)
    if batch.profile != metadata.profile:
        notes.append(f"run under the profile {batch.profile.name}; recorded under {metadata.profile.name}")
    facts: dict[str, Any] = {}
    if found.witness is not None:
        facts["witness"] = found.witness.to_json()
    if outcome.round_trip and found.verdict is not Verdict.identical:
        facts["round_trip"] = outcome.round_trip
        notes.append(round_trip_said(ref.framework, outcome.versions, outcome.round_trip))
    return Cell(
        artifact=str(ref),
        environment=batch.environment,
        verdict=found.verdict,
        reason=found.reason,
        profile=batch.profile.name,
        own=batch.environment == metadata.environment.name,
        answer=answer,
        signal=outcome.signal,
        versions=outcome.versions,
        difference=found.diff.to_json() if found.diff is not None else None,
        facts=facts,
        notes=notes,
        log="" if found.verdict.graded else outcome.log[-LIMITS.cell_log_bytes :],
        seconds=round(outcome.seconds, 3),
        attempts=batch.attempt,
    )


def _cell(batch: Batch, name: str, verdict: Verdict, reason: str) -> Cell:
    return Cell(
        artifact=name,
        environment=batch.environment,
        verdict=verdict,
        reason=reason,
        profile=batch.profile.name,
        attempts=batch.attempt,
    )


def lost(batch: Batch, names: Sequence[str], reason: str) -> list[Cell]:
    """The cells of artifacts of whose answer nobody knows: their machine, or their environment, is gone."""
    return [_cell(batch, name, Verdict.lost, reason) for name in names]
