"""One batch of a regression: some artifacts in one environment, run in turn. Cells come out.

This is all that a worker does, here or on another machine. It decides nothing about retries, and nothing
about what passes.
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
from timeproof.regression.reports.labels import round_trip_sentence
from timeproof.replaying import provenance
from timeproof.replaying.flow import judge_outcome, task_of
from timeproof.replaying.result import Replayed
from timeproof.replaying.run_context import JudgedArtifact, RunContext
from timeproof.replaying.witnesses import any_witness_is_open, ask_witnesses
from timeproof.runs.parallel import run_shared
from timeproof.runs.probe_stream import Outcome
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_artifact
from timeproof.store.schema.v1 import Metadata, ProfileRecord

OnCell = Callable[[Cell, Mapping[str, Any]], None]
"""Called with each cell as soon as it is judged, and with the container's facts about its machine."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Artifacts that one worker runs, in turn: one environment, one profile."""

    environment: str  # its folder in the archive
    profile: ProfileRecord
    refs: tuple[str, ...]
    attempt: int = 1
    # Of the refs' metadata, relative to the archive; a part of a batch has none.
    documents: tuple[str, ...] = ()


def digest_of_outputs(outputs: Mapping[str, reference.Array]) -> str:
    """The SHA-256 over all outputs: names, dtypes, shapes and bytes."""
    specs = [reference.spec_of(name, "output_0", array) for name, array in outputs.items()]
    lines = "".join(f"{s.name}\0{s.dtype}\0{s.shape}\0{s.sha256}\n" for s in specs)
    return Digest.of(lines.encode("utf-8", "surrogatepass")).hex


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
    other. An artifact whose bytes are not the recorded ones is `altered`, and is never loaded. Where an
    artifact answers otherwise in its own environment, on another CPU, its witnesses are asked at the end.

    Args:
        image: an id that the engine holds.

    Raises EngineLost / EngineFailed: the cells that were given before stay given.
    """
    artifacts: dict[str, tuple[Ref, Metadata]] = {}
    for name in batch.refs:
        ref = archive.resolve(name)
        try:
            artifacts[name] = ref, read_artifact(archive, ref)
        except BadArchive as error:
            on_cell(_cell(batch, name, Verdict.altered, error.message), {})
    if not artifacts:
        return
    unsettled: list[tuple[JudgedArtifact, Outcome, str | None]] = []

    def judge(outcome: Outcome) -> None:
        ref, metadata = artifacts[outcome.id]
        if outcome.error is not None:
            on_cell(_cell(batch, outcome.id, Verdict.altered, outcome.reason), {})
            return
        answer = digest_of_outputs(outcome.native) if outcome.failure is None else None
        result = _judge(archive, batch, ref, metadata, outcome)
        outcome.outputs = {}  # memory is bounded by one artifact
        if _may_be_excused(batch, metadata, result):
            unsettled.append((JudgedArtifact(ref, metadata, result), outcome, answer))
        else:
            on_cell(_judged_cell(batch, metadata, result, outcome, answer), machine_of(outcome.hello))

    tasks = [
        replace(task_of(archive, ref, metadata), recorded={o.name: o.sha256 for o in metadata.outputs})
        for ref, metadata in artifacts.values()
    ]
    run_shared(engine, image, tasks, batch.profile, limits=limits, on_outcome=judge, containers=1, width=1)
    ask_witnesses(RunContext(archive, engine, image, batch.profile, limits), [j for j, _, _ in unsettled])
    for judged, outcome, answer in unsettled:
        cell = _judged_cell(batch, judged.metadata, judged.result, outcome, answer)
        on_cell(cell, machine_of(outcome.hello))


def machine_of(hello: Mapping[str, Any]) -> Mapping[str, Any]:
    machine = hello.get("machine")
    return machine if isinstance(machine, dict) else {}


def _judge(archive: Archive, batch: Batch, ref: Ref, metadata: Metadata, outcome: Outcome) -> Replayed:
    """Grade the answer, and note whether this is another CPU than the recorded one."""
    result = judge_outcome(archive, ref, metadata, outcome)
    image = metadata.environment.image.config  # what differs in another environment is the report's matter
    now = provenance.present(metadata, outcome.hello, outcome.versions, batch.profile, image)
    differing = provenance.differences(provenance.recorded(metadata), now)
    result.elsewhere = provenance.is_other_cpu(differing)
    return result


def _is_own(batch: Batch, metadata: Metadata) -> bool:
    return batch.environment == metadata.environment.name


def _may_be_excused(batch: Batch, metadata: Metadata, result: Replayed) -> bool:
    """Whether asking a witness could decide whether this cell passes: see `policy`."""
    return _is_own(batch, metadata) and result.elsewhere and any_witness_is_open(metadata, result)


def _judged_cell(
    batch: Batch, metadata: Metadata, result: Replayed, outcome: Outcome, answer: str | None
) -> Cell:
    notes = list(result.notes)
    if batch.profile != metadata.profile:
        notes.append(f"run under the profile {batch.profile.name}; recorded under {metadata.profile.name}")
    facts = result.passing_facts()
    if outcome.round_trip and result.verdict is not Verdict.identical:
        facts["round_trip"] = outcome.round_trip
        notes.append(round_trip_sentence(result.ref.framework, outcome.versions, outcome.round_trip))
    return Cell(
        artifact=str(result.ref),
        environment=batch.environment,
        verdict=result.verdict,
        reason=result.reason,
        profile=batch.profile.name,
        own=_is_own(batch, metadata),
        answer=answer,
        signal=outcome.signal,
        versions=outcome.versions,
        difference=result.diff.to_json() if result.diff is not None else None,
        facts=facts,
        notes=notes,
        log="" if result.verdict.graded else outcome.log[-LIMITS.cell_log_bytes :],
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


def lost_cells(batch: Batch, names: Sequence[str], reason: str) -> list[Cell]:
    """Lost cells for artifacts whose answer is unknown: their machine or their environment is gone."""
    return [_cell(batch, name, Verdict.lost, reason) for name in names]
