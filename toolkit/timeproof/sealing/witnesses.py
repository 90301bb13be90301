"""Witnesses when sealing: which are asked for, and which of them may be recorded.

A witness is recorded only where both seal runs gave it bit for bit; else a note says why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from timeproof.base.limits import Limits
from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest
from timeproof.frameworks.base import Saved
from timeproof.frameworks.registry import require_spec
from timeproof.runs.probe_stream import ProbeRun
from timeproof.sealing.sealed_answer import SealedAnswer, distance_of
from timeproof.store import reference
from timeproof.store.reference import Array
from timeproof.store.schema.records import WitnessFacts, WitnessOptions
from timeproof.store.schema.v1 import EmulatorRecord, Witness

CHOICES = ("auto", "float64", "emulated", "none")
_RUNNER = "witness float64"


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """A witness that may be recorded. A margin's outputs are among the reference's own."""

    kind: Literal["float64", "emulated", "margin"]
    outputs: Mapping[str, Array]
    facts: WitnessFacts = field(default_factory=WitnessFacts)
    options: WitnessOptions = field(default_factory=WitnessOptions)


def check_choice(choice: str, framework: str) -> None:
    """Raise BadRequest where that witness can't be had."""
    if choice not in CHOICES:
        raise BadRequest(f"there is no witness {choice!r}", advice=f"take one of: {', '.join(CHOICES)}")
    if choice == "float64" and not require_spec(framework).float64:
        raise BadRequest(
            f"{framework} models have no float64 witness: their raw margins are theirs",
            advice="leave --witness at auto",
        )


def witness_copies(choice: str, saved: Saved, limits: Limits) -> tuple[Mapping[str, Any], ...]:
    """The copies of an artifact that a seal run is told to ask as witnesses.

    Unless it was asked for by name, a witness may take no more than `limits.witness_work`, which is counted
    and not timed: whether there is one depends on the model and its environment alone, never on how busy the
    machine is. A probe that doesn't count it yet is held by `limits.artifact_seconds` alone.
    """
    if choice == "none" or not require_spec(saved.framework).float64:
        return ()
    named = choice == "float64"
    return (
        {
            "name": _RUNNER,
            "framework": saved.framework,
            "model": saved.model,
            "options": {**saved.options, **({} if named else {"work": limits.witness_work})},
            "witness": "float64",
            "timeout": limits.artifact_seconds,
        },
    )


def choose_witnesses(
    choice: str, framework: str, runs: Sequence[ProbeRun], sealed: SealedAnswer
) -> tuple[list[WitnessAnswer], list[str]]:
    """The witnesses that both runs gave, and notes about what there is not."""
    if choice == "none":
        return [], []
    spec = require_spec(framework)
    if margin := spec.margin:
        outputs = sealed.outputs
        return ([WitnessAnswer("margin", {margin: outputs[margin]})] if margin in outputs else []), []
    if not spec.float64:
        return [], []
    if refusal := _refusal(runs, sealed.outputs):
        return [], [f"there is no float64 witness: {refusal}"]
    (outcome,) = runs[-1].outcomes.values()
    wide = outcome.outputs[_RUNNER]
    seconds = outcome.copies[_RUNNER].get("seconds")
    facts = WitnessFacts(
        distance=distance_of(sealed.compare_from(wide, sealed.outputs)),
        seconds=seconds if isinstance(seconds, float) else None,
    )
    return [WitnessAnswer("float64", wide, facts)], []


def emulated(
    outputs: Mapping[str, Array], cpu: str, sealed: SealedAnswer, emulator: EmulatorRecord
) -> WitnessAnswer:
    """The witness that a simulated CPU gave; the emulator is kept in the package store."""
    facts = WitnessFacts(distance=distance_of(sealed.compare_from(outputs, sealed.outputs)))
    return WitnessAnswer("emulated", outputs, facts, WitnessOptions(cpu=cpu, emulator=emulator.sha256))


def write(
    witness: WitnessAnswer, folder: Path, tag: str, reference_name: str, sealed: SealedAnswer
) -> Witness:
    """Write a witness's outputs into the artifact's folder; a margin's lie in the reference already."""
    if witness.kind == "margin":
        file = reference_name
        all_specs = reference.specs_of("output", sealed.outputs, None, sealed.scores)
        specs = [spec for spec in all_specs if spec.name in witness.outputs]
    else:
        file = f"witness_{tag}_{witness.kind}.npz"
        with (folder / file).open("xb") as stream:
            reference.write(stream, output=witness.outputs)
        specs = reference.specs_of("output", witness.outputs, None, sealed.scores)
    return Witness(kind=witness.kind, file=file, outputs=specs, options=witness.options, facts=witness.facts)


def _refusal(runs: Sequence[ProbeRun], outputs: Mapping[str, Array]) -> str:
    """Why there is no float64 witness; empty where there is one."""
    answers = []
    for run in runs:
        if "float64" not in (run.hello.get("witnesses") or ()):
            return "the environment's probe is older than float64 witnesses"
        (outcome,) = run.outcomes.values()
        result = outcome.copies.get(_RUNNER, {})
        if result.get("status") != "ok":
            return str(result.get("reason") or result.get("status") or "the probe says nothing of it")
        answers.append(outcome.outputs.get(_RUNNER, {}))
    first, *repeats = answers
    for repeat in repeats:
        difference = compare_outputs(first, repeat)
        if difference.verdict is not Verdict.identical:
            return f"two runs of it differ: {difference.summary()}"
    odd = [n for n, a in first.items() if n not in outputs or a.dtype != outputs[n].dtype]
    if odd or len(first) != len(outputs) or any(a.shape != outputs[n].shape for n, a in first.items()):
        return "its outputs are not those of the reference"
    return ""
