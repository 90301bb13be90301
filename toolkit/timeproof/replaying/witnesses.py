"""Asking the witnesses of answers that differ, in further containers. `policy` decides whether one counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from timeproof.compare.verdict import Verdict
from timeproof.errors import BadArchive, TimeproofError
from timeproof.replaying.grading import judge_witness, task_of, witness_is_open
from timeproof.replaying.result import Replayed
from timeproof.replaying.run_context import JudgedArtifact, RunContext
from timeproof.runs.container_run import run_probe
from timeproof.runs.parallel import run_shared
from timeproof.runs.probe_stream import Outcome
from timeproof.store.schema.v1 import Metadata

KINDS = ("float64", "emulated")
"""The kinds of witnesses that take a further run, the cheapest first. (Raw margins are outputs already.)"""


def any_witness_is_open(metadata: Metadata, result: Replayed) -> bool:
    """Whether a further run could still say something about this answer."""
    return any(witness_is_open(metadata, result, kind) for kind in KINDS)


def ask_witnesses(context: RunContext, judged: Sequence[JudgedArtifact]) -> None:
    """Ask the witnesses of each answer, one kind after the other, until one holds; record what they answer.

    Raises EngineLost / EngineFailed; what concerns one witness is in its artifact's result.
    """
    for kind in KINDS:
        waiting = {str(j.ref): j for j in judged if witness_is_open(j.metadata, j.result, kind)}
        if waiting:
            _ask(context, kind, waiting)


def _ask(context: RunContext, kind: str, waiting: Mapping[str, JudgedArtifact]) -> None:
    def note(outcome: Outcome) -> None:
        ref, metadata, result = waiting[outcome.id]
        judge_witness(context.archive, ref, metadata, result, kind, outcome)
        outcome.outputs = {}  # memory is bounded by one artifact

    context.progress.step(f"Asking {len(waiting)} {kind} witness{'es' if len(waiting) != 1 else ''}")
    if kind == "emulated":
        _ask_emulated(context, waiting, note)
        return
    tasks = [task_of(context.archive, j.ref, j.metadata, witness=kind) for j in waiting.values()]
    run_shared(context.engine, context.image, tasks, context.profile, limits=context.limits, on_outcome=note)


def _ask_emulated(
    context: RunContext, waiting: Mapping[str, JudgedArtifact], note: Callable[[Outcome], None]
) -> None:
    """Run each model as it was recorded, on the CPU that was simulated then: a container for each."""
    from timeproof.runs.cpu_emulator import Simulated, recorded_emulator, slowed  # seldom needed

    for name, (ref, metadata, _) in waiting.items():
        witness = next(w for w in metadata.witnesses if w.kind == "emulated")
        try:
            emulator = recorded_emulator(context.archive, metadata, witness.options.emulator or None)
        except TimeproofError as error:
            failure = Verdict.altered if isinstance(error, BadArchive) else Verdict.lost
            note(Outcome(name, failure, error.message))
            continue
        run_probe(
            context.engine,
            context.image,
            [task_of(context.archive, ref, metadata)],
            metadata.profile,
            limits=slowed(context.limits),
            on_outcome=note,
            simulated=Simulated(emulator, witness.options.cpu),
        )
