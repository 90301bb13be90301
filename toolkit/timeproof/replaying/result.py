"""What a replay gives: the one value that every report renders. No IO, and no arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from timeproof.compare.verdict import Verdict
from timeproof.errors import TimeproofError
from timeproof.replaying import policy
from timeproof.store.layout import Ref

if TYPE_CHECKING:
    from timeproof.compare.difference import OutputsDiff
    from timeproof.replaying.provenance import Difference, Fingerprint

UNREADABLE = "unreadable"  # stands for the environment of an artifact whose metadata can't be read
_TITLES = {"float64": "float64 witness", "emulated": "emulated witness", "margin": "raw margins"}


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What a witness says, where the native answer is not the recorded one."""

    kind: str  # float64, emulated or margin
    verdict: Verdict  # of the witness's own outputs against the recorded ones
    summary: str
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return self.verdict is Verdict.identical

    @property
    def title(self) -> str:
        return _TITLES.get(self.kind, self.kind)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "verdict": str(self.verdict),
            "holds": self.holds,
            "summary": self.summary,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Attempt:
    """One further way to run an artifact that did not answer as recorded, and what came of it."""

    way: str  # native, portable, emulated
    verdict: Verdict | None  # None where it could not be tried
    summary: str
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "way": self.way,
            "verdict": str(self.verdict) if self.verdict is not None else None,
            "restores": self.verdict is Verdict.identical,
            "summary": self.summary,
            "seconds": round(self.seconds, 3),
        }


@dataclass(slots=True)
class Replayed:
    """What the replay of one artifact gave. `verdict` is the native answer's, whatever a witness says."""

    ref: Ref
    verdict: Verdict
    reason: str = ""
    environment: str = ""
    image_source: str = ""  # engine, registry, rebuilt or stored
    diff: OutputsDiff | None = None
    seconds: float = 0.0  # inside the container
    outputs: int = 0
    bytes: int = 0
    profile: str = ""
    notes: list[str] = field(default_factory=list)
    error: TimeproofError | None = None
    log: str = ""
    witness: WitnessAnswer | None = None
    recorded: Fingerprint | None = None
    present: Fingerprint | None = None
    differences: list[Difference] = field(default_factory=list)  # between the two
    cause: str = ""  # the likeliest of them
    elsewhere: bool = False  # another CPU than the recorded one
    tried: list[Attempt] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.identical

    @property
    def witnessed(self) -> bool:
        """Whether a witness is identical where the native answer is not, and both are the same answer."""
        return (
            not self.ok
            and self.verdict.allowed_by(Verdict.drift)
            and self.witness is not None
            and self.witness.holds
        )

    @property
    def answer(self) -> policy.Answer:
        """What of it decides whether it passes."""
        holds = self.witness is not None and self.witness.holds
        return policy.Answer(self.verdict, witness_holds=holds, other_cpu=self.elsewhere)

    def passing_facts(self) -> dict[str, Any]:
        """What of a witness and of the CPU decides whether it passes, as a report's cell keeps it."""
        facts: dict[str, Any] = {}
        if self.witness is not None:
            facts["witness"] = self.witness.to_json()
        if self.elsewhere and not self.ok:
            facts["other_cpu"] = True
        return facts

    def passes(self, allowed: Verdict = Verdict.identical, *, strict: bool = False) -> bool:
        """Whether it passes by the one rule: see `timeproof.replaying.policy`."""
        return policy.passes(self.answer, allowed, strict=strict)

    def sentence(self) -> str:
        """Say it in one line; never plain `identical` where only a witness is."""
        if self.ok or self.witness is None:
            return f"{self.verdict}: {self.reason}"
        if not self.witness.holds:
            witness = f"the {self.witness.title} differs, too: {self.witness.verdict}: {self.witness.summary}"
            return f"{self.verdict}: {self.reason}; {witness}"
        sulp = self.diff.sulp if self.diff is not None else None
        native = f"native differs by {sulp:.3g} sULP" if sulp else f"native differs: {self.reason}"
        grade = "" if self.verdict is Verdict.rounding else f" ({self.verdict})"
        why = f": {self.cause}" if self.cause else ""
        return f"identical ({self.witness.title}); {native}{grade}{why}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json` and every report."""
        return {
            "artifact": str(self.ref),
            "verdict": str(self.verdict),
            "says": self.sentence(),
            "reason": self.reason,
            "witness": self.witness.to_json() if self.witness is not None else None,
            "cause": self.cause,
            "elsewhere": self.elsewhere,
            "environment": self.environment,
            "image": self.image_source,
            "profile": self.profile,
            "recorded": self.recorded.to_json() if self.recorded is not None else None,
            "here": self.present.to_json() if self.present is not None else None,
            "tried": [t.to_json() for t in self.tried],
            "seconds": round(self.seconds, 3),
            "outputs": self.outputs,
            "bytes": self.bytes,
            "notes": list(self.notes),
            "difference": self.diff.to_json() if self.diff is not None else None,
            "error": self.error.facts() if self.error is not None else None,
            "log": self.log,
        }


@dataclass(slots=True)
class Result:
    """What a replay of several artifacts gave: the one value that every report renders."""

    replayed: list[Replayed]
    environments: dict[str, str]  # folder → where its image came from
    notes: list[str] = field(default_factory=list)

    def passes(self, allowed: Verdict = Verdict.identical, *, strict: bool = False) -> bool:
        """Whether every artifact passes, and there is one at all. See `Replayed.passes`."""
        return bool(self.replayed) and all(r.passes(allowed, strict=strict) for r in self.replayed)

    @property
    def exit_code(self) -> int:
        """The worst of the errors' exit codes; 0 where there was none. Verdicts are not in it."""
        return max((r.error.exit_code for r in self.replayed if r.error), default=0)

    def to_json(self) -> dict[str, Any]:
        counts: dict[str, int] = {}
        for result in self.replayed:
            counts[str(result.verdict)] = counts.get(str(result.verdict), 0) + 1
        return {
            "replayed": [r.to_json() for r in self.replayed],
            "counts": counts,
            "witnessed": sum(r.witnessed for r in self.replayed),
            "environments": dict(self.environments),
            "notes": list(self.notes),
        }
