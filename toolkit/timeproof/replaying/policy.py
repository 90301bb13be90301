"""The one rule of passing. No IO here; how an answer was obtained does not matter.

`timeproof replay`, `timeproof regress`, the pytest plugin and `Result.passes` of the API all ask this module.

The rule: **an answer passes where its native verdict is allowed, or where a witness excuses it.**

- *Allowed* is what the user says (`--allow`); nothing but `identical` is allowed by default. What was not
  graded (`refused`, `crashed`, `lost`, …) is never allowed.
- On the CPU that the artifact was sealed on, its bits are promised. So a difference fails there, whatever a
  witness says, unless it is allowed.
- On another CPU no native bits were ever promised. There a witness counts in place of the native answer,
  if all of this holds: the witness is identical, bit for bit; the artifact ran in its own environment; the
  native answer is still the same answer (`rounding` or `drift`: users of this machine get it); and the user
  did not ask for the native answer alone (`--strict`).

A regression asks for the same, with a promise in place of what is allowed: there a refusal, too, can be what
is known and accepted. See `keeps_promise`.
"""

from __future__ import annotations

from dataclasses import dataclass

from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest

NEVER_ACCEPTED = (Verdict.lost, Verdict.nondeterministic, Verdict.altered)
"""Verdicts that no promise, declaration or witness makes good: the model's answer is unknown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """All of an artifact's answer that decides whether it passes."""

    verdict: Verdict  # of the native answer
    witness_holds: bool = False  # a witness was asked, and is identical
    other_cpu: bool = False  # the CPU is known to be another than the one that it was sealed on
    own_environment: bool = True  # it ran in the environment that it was sealed in


def is_excused(answer: Answer) -> bool:
    """Whether a witness counts in place of a native answer that differs."""
    return (
        answer.witness_holds
        and answer.other_cpu
        and answer.own_environment
        and answer.verdict in (Verdict.rounding, Verdict.drift)
    )


def passes(answer: Answer, allowed: Verdict = Verdict.identical, *, strict: bool = False) -> bool:
    """Whether the native verdict is `allowed` or better, or, unless `strict`, a witness excuses it."""
    return answer.verdict.allowed_by(allowed) or (not strict and is_excused(answer))


def keeps_promise(answer: Answer, promised: Verdict, *, strict: bool = False) -> bool:
    """Whether an answer is no worse than `promised`, or passes without a promise; never where it is unknown.

    Args:
        promised: the worst verdict that is accepted here, graded or not: a model that was `refused` by an
            environment before may be refused by it again.
    """
    if answer.verdict in NEVER_ACCEPTED:
        return False
    return answer.verdict <= promised or passes(answer, strict=strict)


def check_allowed(text: str) -> Verdict:
    """The verdict that a user allows. Raises BadRequest: that verdict does not grade outputs."""
    graded = [str(v) for v in Verdict if v.graded]
    if text not in graded:
        raise BadRequest(f"{text!r} can't be allowed", advice=f"take one of: {', '.join(graded)}")
    return Verdict(text)
