"""The model can't be archived as it is: exit code 5."""

from __future__ import annotations

from collections.abc import Sequence

from timeproof.errors.root import TimeproofError


class BadModel(TimeproofError):
    """The model can't be archived as it is."""

    exit_code = 5


class NotArchivable(BadModel):
    """The model, its class or its inputs can't be stored in a format that lasts."""


class NotImportable(BadModel):
    """A third party's model or answers can't be read. `problems` has one line for each file or case."""

    def __init__(self, path: object, problems: Sequence[str], *, advice: str = "") -> None:
        listing = "\n".join(f"  - {p}" for p in problems[:20])
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        super().__init__(
            f"{path} can't be imported; nothing was:\n{listing}{more}",
            advice=advice or "mend or remove what is named; --skip-bad imports the rest of a tree of cases",
        )
        self.path, self.problems = str(path), list(problems)


class NotAModelPack(BadModel):
    """What lies in a registry under that name is no artifact of timeproof, packed as the CNCF says."""

    def __init__(self, reference: object, why: str, *, advice: str = "") -> None:
        super().__init__(
            f"{reference} can't be pulled as an artifact: {why}",
            advice=advice or "name one that 'timeproof push ARTIFACT' put there",
        )
        self.reference, self.why = str(reference), why


class SealFailed(BadModel):
    """The artifact did not replay while it was being sealed; nothing was published."""
