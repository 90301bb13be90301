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
from timeproof.compare.verdict import Thresholds, Verdict
from timeproof.errors import BadRequest
from timeproof.frameworks.base import Saved
from timeproof.frameworks.registry import require_spec
from timeproof.runs.probe_stream import ProbeRun
from timeproof.store import reference
from timeproof.store.reference import Array
from timeproof.store.schema.v1 import EmulatorRecord, Witness

CHOICES = ("auto", "float64", "emulated", "none")
_RUNNER = "witness float64"


@dataclass(frozen=True, slots=True)
class Found:
    """A witness that may be recorded. A margin's outputs are among the reference's own."""

    kind: Literal["float64", "emulated", "margin"]
    outputs: Mapping[str, Array]
    facts: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def check_choice(choice: str, framework: str) -> None:
    """Raise BadRequest where that witness can't be had."""
    if choice not in CHOICES:
        raise BadRequest(f"there is no witness {choice!r}", advice=f"take one of: {', '.join(CHOICES)}")
    if choice == "float64" and not require_spec(framework).float64:
        raise BadRequest(
            f"{framework} models have no float64 witness: their raw margins are theirs",
            advice="leave --witness at auto",
        )


def asked(choice: str, saved: Saved, limits: Limits) -> tuple[Mapping[str, Any], ...]:
    """What a seal run is told beside the artifact itself, as copies of it.

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


def found(
    choice: str,
    framework: str,
    runs: Sequence[ProbeRun],
    outputs: Mapping[str, Array],
    thresholds: Thresholds,
    scores: Mapping[str, bool] | None = None,
) -> tuple[list[Found], list[str]]:
    """The witnesses that both runs gave, and notes about what there is not.

    Args:
        outputs: the native ones, on which the runs agree.
        scores: which of them hold class scores, as `compare_outputs` takes it.
    """
    if choice == "none":
        return [], []
    if margin := require_spec(framework).margin:
        return ([Found("margin", {margin: outputs[margin]})] if margin in outputs else []), []
    if not require_spec(framework).float64:
        return [], []
    refusal = _refusal(runs, outputs)
    if refusal:
        return [], [f"there is no float64 witness: {refusal}"]
    (outcome,) = runs[-1].outcomes.values()
    wide = outcome.outputs[_RUNNER]
    distance = compare_outputs(wide, dict(outputs), thresholds=thresholds, scores=scores)
    facts = {"distance": distance.to_json(), "seconds": outcome.copies[_RUNNER].get("seconds")}
    return [Found("float64", wide, facts)], []


def emulated(
    answers: Mapping[str, Array],
    cpu: str,
    outputs: Mapping[str, Array],
    emulator: EmulatorRecord,
    thresholds: Thresholds,
    scores: Mapping[str, bool] | None = None,
) -> Found:
    """The witness that a simulated CPU gave; the emulator is kept in the package store."""
    distance = compare_outputs(answers, dict(outputs), thresholds=thresholds, scores=scores)
    options = {"cpu": cpu, "emulator": emulator.sha256}
    return Found("emulated", answers, {"distance": distance.to_json()}, options)


def write(
    found: Found,
    folder: Path,
    tag: str,
    reference_name: str,
    outputs: Mapping[str, Array],
    scores: Mapping[str, bool] | None = None,
) -> Witness:
    """Write a witness's outputs into the artifact's folder; a margin's lie in the reference already.

    Args:
        scores: which outputs hold class scores, as the reference records it.
    """
    if found.kind == "margin":
        file = reference_name
        specs = [s for s in reference.specs_of("output", outputs, None, scores) if s.name in found.outputs]
    else:
        file = f"witness_{tag}_{found.kind}.npz"
        with (folder / file).open("xb") as stream:
            reference.write(stream, output=found.outputs)
        specs = reference.specs_of("output", found.outputs, None, scores)
    return Witness(
        kind=found.kind, file=file, outputs=specs, options=dict(found.options), facts=dict(found.facts)
    )


def _refusal(runs: Sequence[ProbeRun], outputs: Mapping[str, Array]) -> str:
    """Why there is no float64 witness; empty where there is one."""
    answers = []
    for run in runs:
        if "float64" not in (run.hello.get("witnesses") or ()):
            return "the environment's probe is older than float64 witnesses"
        (outcome,) = run.outcomes.values()
        told = outcome.copies.get(_RUNNER, {})
        if told.get("status") != "ok":
            return str(told.get("reason") or told.get("status") or "the probe says nothing of it")
        answers.append(outcome.outputs.get(_RUNNER, {}))
    first, *others = answers
    for other in others:
        diff = compare_outputs(first, other)
        if diff.verdict is not Verdict.identical:
            return f"two runs of it differ: {diff.summary()}"
    odd = [n for n, a in first.items() if n not in outputs or a.dtype != outputs[n].dtype]
    if odd or len(first) != len(outputs) or any(a.shape != outputs[n].shape for n, a in first.items()):
        return "its outputs are not those of the reference"
    return ""
