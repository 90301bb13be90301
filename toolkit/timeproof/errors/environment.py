"""The environment can't be locked, fetched or built: exit code 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from timeproof.errors.root import TimeproofError


class BadEnvironment(TimeproofError):
    """The environment can't be captured, locked, fetched or built."""

    exit_code = 4


class NotCapturable(BadEnvironment):
    """Some installed distributions can't be named by hash. `problems` has one line for each."""

    def __init__(self, problems: Sequence[str], *, advice: str = "") -> None:
        listing = "\n".join(f"  - {p}" for p in problems)
        super().__init__(
            f"the environment can't be captured exactly:\n{listing}",
            advice=advice or "reinstall each from an index (pip install NAME==VERSION), then try again",
        )
        self.problems = list(problems)


class LockFailed(BadEnvironment):
    """No lock could be made, or one is unusable."""


class FetchFailed(BadEnvironment):
    """A locked package could not be had, or its bytes are not the locked ones."""


class InterpreterAbsent(FetchFailed):
    """The locked interpreter was packed elsewhere, and none of this machine is the same."""


class BuildFailed(BadEnvironment):
    """The image build ended in failure."""


class WrongImage(BadEnvironment):
    fact_keys: ClassVar[Mapping[str, str]] = {"part": "what"}

    def __init__(self, part: str, expected: object, actual: object, *, advice: str = "") -> None:
        super().__init__(f"the image's {part} is {actual}, not {expected}", advice=advice)
        self.part, self.expected, self.actual = part, str(expected), str(actual)


class WrongPlatform(WrongImage):
    def __init__(self, expected: object, actual: object) -> None:
        super().__init__(
            "platform",
            expected,
            actual,
            advice="replay on a machine of that architecture, or with an engine that emulates it",
        )
