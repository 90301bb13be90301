"""The user's own answer against the container's: what is further apart than `drift` is not sealed.

The own answer is the truth: what the user's own process, or an answer that they hand in, says of these
inputs. No IO here.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from timeproof.compare.difference import OutputsDiff
from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest, SealFailed
from timeproof.frameworks.registry import module_of
from timeproof.runs.probe_stream import Outcome
from timeproof.sealing.sealed_answer import SealedAnswer
from timeproof.store.reference import Array

_REASONS = 4  # that a message names


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """What the model should give, by output; `source` says in a message whose answer it is."""

    outputs: Mapping[str, Array]
    source: str = "your process"
    whole: bool = True  # every output; an answer that was handed in may be of some of them


def match_expected(expected: object, outputs: Mapping[str, Array]) -> OwnAnswer:
    """Match an answer that the user hands in with the model's outputs.

    Args:
        expected: arrays by the outputs' names; or one array, for the first output of its shape.

    Raises:
        BadRequest: a name is none of the outputs', or no output has that shape.
    """
    listed = ", ".join(f"{name} {list(a.shape)}" for name, a in outputs.items())
    if isinstance(expected, Mapping):
        arrays = {str(name): np.asarray(value) for name, value in expected.items()}
        if strange := sorted(set(arrays) - set(outputs)):
            raise BadRequest(
                f"the expected answer names {', '.join(strange)}; the model's outputs are {listed}",
                advice="name each expected array as the model's output",
            )
        if not arrays:
            raise BadRequest("the expected answer holds no array", advice=f"the model's outputs are {listed}")
        return OwnAnswer(arrays, "the expected answer", whole=False)
    array = np.asarray(expected)
    fitting = [name for name, output in outputs.items() if output.shape == array.shape]
    if not fitting:
        raise BadRequest(
            f"the expected answer has the shape {list(array.shape)}; the model's outputs are {listed}",
            advice="give the answer for the same inputs, or an .npz with an array for each output's name",
        )
    return OwnAnswer({fitting[0]: array}, "the expected answer", whole=False)


def measure(answer: OwnAnswer, sealed: SealedAnswer) -> OutputsDiff:
    """Compare the container's outputs with the own answer."""
    names = sealed.outputs.keys() if answer.whole else sealed.outputs.keys() & answer.outputs.keys()
    outputs = {name: array for name, array in sealed.outputs.items() if name in names}
    return sealed.compare_from(answer.outputs, outputs)


def agrees(answer: OwnAnswer, difference: OutputsDiff) -> bool:
    """Whether the container gives the same answer: identical, rounding or drift.

    In the dtypes of the user's own process; an answer that was handed in may be in others.
    """
    alike = all(array.dtype == array.actual_dtype for array in difference.arrays.values())
    return difference.verdict.allowed_by(Verdict.drift) and (alike or not answer.whole)


def require_kept(answer: OwnAnswer, difference: OutputsDiff, reasons: Sequence[str], *, keep: bool) -> None:
    """Refuse a model whose container answers otherwise, unless it is to be kept.

    Args:
        difference: what `measure` gave.
        reasons: the likeliest causes, in words.

    Raises:
        SealFailed: with the distance, the likeliest causes, and both ways out.
    """
    if keep:
        return
    causes = list(dict.fromkeys(reasons))[:_REASONS]
    because = f"; probably: {'; '.join(causes)}" if causes else ""
    raise SealFailed(
        f"the container answers otherwise than {answer.source}: {difference.verdict}:"
        f" {difference.summary()}{because}",
        advice="mend the cause, and archive again; or keep what the container answers, marked, with"
        " --keep-different (keep_different=True). Nothing was published",
    )


def versions_differ(framework: str, outcome: Outcome, python: str) -> list[str]:
    """Name the versions that differ between this process and the container."""
    library = module_of(framework)
    version = str(getattr(sys.modules.get(library), "__version__", "") or "")
    pairs = [
        (library, version, outcome.versions.get(library, "")),
        ("Python", platform.python_version(), python),
    ]
    return [
        f"the container has {name} {inside}, your process {outside}"
        for name, outside, inside in pairs
        if outside and inside and outside.partition("+")[0] != inside.partition("+")[0]
    ]


def sentence(answer: OwnAnswer, difference: OutputsDiff) -> str:
    """Say in one line how far apart the two are; empty where every bit is equal."""
    if difference.verdict is Verdict.identical:
        return ""
    return f"{answer.source} and the container differ: {difference.verdict}: {difference.summary()}"
