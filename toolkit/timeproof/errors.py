"""Every error that timeproof raises, grouped by who must act. No IO here.

A difference between two outputs is a *verdict*, never one of these.

.. code-block:: text

    TimeproofError                       exit
    ├── BadRequest                         2   the caller asked for something impossible
    │   ├── BadGridSize
    │   ├── NotFound
    │   └── BadPlugin
    ├── BadArchive                         3   the bytes on disk are not what they should be
    │   ├── Missing / Unlisted / NotRegular / Unreadable
    │   ├── SizeMismatch / DigestMismatch
    │   ├── UnsafePath
    │   ├── Malformed / NewerSchema / Limit
    │   ├── Exists
    │   └── ManyFindings
    ├── BadEnvironment                     4   the environment can't be locked, fetched or built
    │   ├── NotCapturable
    │   ├── LockFailed / FetchFailed / InterpreterAbsent
    │   ├── BuildFailed
    │   └── WrongImage / WrongPlatform
    ├── BadModel                           5   the model can't be archived as it is
    │   ├── NotArchivable / NotImportable
    │   └── SealFailed
    ├── EngineFailed                       6   the container engine is missing or failed
    │   ├── EngineMissing / EngineLost
    │   └── ToolMissing / ToolFailed
    ├── StorageFailed                      7   disk full, read-only, I/O error
    │   └── NoSpace
    └── RemoteFailed                       7   a bucket or a registry can't be reached, or gives other bytes
        └── AccessDenied
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar


def sayable(text: str) -> str:
    """Escape what no UTF-8 stream can hold: file names that are not UTF-8 come as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {sayable(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return sayable(str(value))


def _revive(kind: type[TimeproofError], args: tuple[object, ...], known: dict[str, object]) -> TimeproofError:
    error = kind.__new__(kind, *args)
    vars(error).update(known)
    return error


class TimeproofError(Exception):
    """The root. Carries facts (attributes) and, in `advice`, what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(sayable(message))
        self.message = sayable(message)
        self.advice = sayable(advice)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled as class(message), which no subclass here is made by; worker processes
        # hand errors back that way.
        return _revive, (type(self), self.args, vars(self))

    @property
    def kind(self) -> str:
        """The class name, stable across releases: what `--json` calls the error."""
        return type(self).__name__

    def facts(self) -> dict[str, object]:
        """Everything the error knows, as plain values, for `--json`."""
        known = {k: v for k, v in vars(self).items() if k not in {"message", "advice"} and v is not None}
        told = {"error": self.kind, "message": self.message, "advice": self.advice}
        return {**told, **{k: _plain(v) for k, v in known.items()}}


# --- the caller must ask differently --------------------------------------------------------


class BadRequest(TimeproofError):
    """The request itself is wrong: an option, a name, a value."""

    exit_code = 2


class BadGridSize(BadRequest):
    def __init__(self, value: object) -> None:
        super().__init__(
            f"grid size {value!r} is not a positive whole number",
            advice="give --grid-size (or grid_size=) a whole number of 1 or more, such as 8",
        )
        self.value = repr(value)


class NotFound(BadRequest):
    """A named artifact, environment or file does not exist."""


class BadPlugin(BadRequest):
    """An installed plugin can't be used: its package is broken, or its names belong to another one."""


# --- the archive's owner must act -----------------------------------------------------------


class BadArchive(TimeproofError):
    """The bytes on disk are not what the archive says they are."""

    exit_code = 3

    def __init__(self, message: str, *, path: object, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.path = str(path)


class Missing(BadArchive):
    def __init__(self, path: object) -> None:
        super().__init__(f"{path} is missing", path=path, advice="restore it from a copy of the archive")


class Unlisted(BadArchive):
    def __init__(self, path: object) -> None:
        super().__init__(
            f"{path} is in the archive, but nothing lists it",
            path=path,
            advice="move it out of the archive; nothing in the archive refers to it",
        )


class NotRegular(BadArchive):
    def __init__(self, path: object, what: str) -> None:
        super().__init__(
            f"{path} is {what}, not a regular file",
            path=path,
            advice="replace it with the file itself: links and devices are never followed",
        )
        self.what = what


class Unreadable(BadArchive):
    def __init__(self, path: object, error: OSError) -> None:
        why = error.strerror or type(error).__name__
        super().__init__(
            f"{path} can't be read: {why}", path=path, advice="mend its permissions, or the disk"
        )
        self.why = why


class SizeMismatch(BadArchive):
    def __init__(self, path: object, expected: int, actual: int) -> None:
        super().__init__(
            f"{path} is {actual} bytes long, not {expected}",
            path=path,
            advice="the file was cut or grew: restore it from a copy of the archive",
        )
        self.expected, self.actual = expected, actual


class DigestMismatch(BadArchive):
    def __init__(self, path: object, expected: object, actual: object) -> None:
        super().__init__(
            f"{path} has SHA-256 {actual}, not {expected}",
            path=path,
            advice="the file was altered: restore it from a copy of the archive",
        )
        self.expected, self.actual = str(expected), str(actual)


class UnsafePath(BadArchive):
    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the path {path!r} is refused: {why}", path=path)
        self.why = why


class Malformed(BadArchive):
    """A file can't be read as its format. `issues` lists every problem, each with its place."""

    def __init__(self, path: object, issues: Sequence[str]) -> None:
        more = f" (and {len(issues) - 3} more)" if len(issues) > 3 else ""
        super().__init__(f"{path} is malformed: {'; '.join(issues[:3])}{more}", path=path)
        self.issues = list(issues)


class NewerSchema(BadArchive):
    def __init__(self, path: object, found: int, known: int) -> None:
        super().__init__(
            f"{path} has schema version {found}; this toolkit reads up to {known}: it needs a newer toolkit",
            path=path,
            advice="upgrade timeproof, and try again",
        )
        self.found, self.known = found, known


class Limit(BadArchive):
    def __init__(self, path: object, what: str) -> None:
        super().__init__(f"{path} goes beyond a limit: {what}", path=path)
        self.what = what


class Exists(BadArchive):
    def __init__(self, path: object) -> None:
        super().__init__(
            f"{path} exists already, and is never overwritten",
            path=path,
            advice="leave the version out, so that the next free one is taken",
        )


class ManyFindings(BadArchive):
    """Several findings of one check, raised once."""

    def __init__(self, path: object, findings: Sequence[BadArchive]) -> None:
        listing = "\n".join(f"  {f.kind}: {f.message}" for f in findings)
        super().__init__(f"{path}: {len(findings)} findings\n{listing}", path=path)
        self.findings = [f.facts() for f in findings]


def raise_findings(path: object, findings: Sequence[BadArchive]) -> None:
    """Raise the one finding, or all of them as one; return where there is none."""
    if len(findings) == 1:
        raise findings[0]
    if findings:
        raise ManyFindings(path, findings)


# --- the environment must change ------------------------------------------------------------


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
    def __init__(self, what: str, expected: object, actual: object, *, advice: str = "") -> None:
        super().__init__(f"the image's {what} is {actual}, not {expected}", advice=advice)
        self.what, self.expected, self.actual = what, str(expected), str(actual)


class WrongPlatform(WrongImage):
    def __init__(self, expected: object, actual: object) -> None:
        super().__init__(
            "platform",
            expected,
            actual,
            advice="replay on a machine of that architecture, or with an engine that emulates it",
        )


# --- the model must change ------------------------------------------------------------------


class BadModel(TimeproofError):
    """The model can't be archived as it is."""

    exit_code = 5


class NotArchivable(BadModel):
    """The model, its class or its inputs can't be stored in a format that lasts."""


class NotImportable(BadModel):
    """A third party's model or answers can't be read. `problems` has one line for each file or case."""

    def __init__(self, path: object, problems: Sequence[str]) -> None:
        listing = "\n".join(f"  - {p}" for p in problems[:20])
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        super().__init__(
            f"{path} can't be imported; nothing was:\n{listing}{more}",
            advice="mend or remove what is named; --skip-bad imports the rest of a tree of cases",
        )
        self.path, self.problems = str(path), list(problems)


class SealFailed(BadModel):
    """The artifact did not replay while it was being sealed; nothing was published."""


# --- the machine must change ----------------------------------------------------------------


class EngineFailed(TimeproofError):
    """The container engine, or a tool that we call, is missing or failed."""

    exit_code = 6


class EngineMissing(EngineFailed):
    """No container engine answers."""


class EngineLost(EngineFailed):
    """The engine answered before, and does not any more."""


class ToolMissing(EngineFailed):
    def __init__(self, tool: str, *, advice: str = "") -> None:
        super().__init__(
            f"{tool} is not installed", advice=advice or "run 'timeproof doctor' to see what is missing"
        )
        self.tool = tool


class ToolFailed(EngineFailed):
    def __init__(self, tool: str, exit_code: int | None, tail: str) -> None:
        ended = "ran out of time" if exit_code is None else f"ended with exit code {exit_code}"
        super().__init__(f"{tool} {ended}:\n{tail}" if tail else f"{tool} {ended}")
        self.tool, self.tool_exit_code, self.tail = tool, exit_code, tail


class StorageFailed(TimeproofError):
    """The disk is full, read-only or failing. What was being written is not there."""

    exit_code = 7

    def __init__(self, path: object, why: str) -> None:
        super().__init__(
            f"{path} can't be written: {why}",
            advice="nothing was published; free space or mend the disk, and run the same command again",
        )
        self.path, self.why = str(path), why


class NoSpace(StorageFailed):
    """There is no room for the copies of artifacts' files that a container is given."""

    def __init__(self, path: object, needed: int, free: int) -> None:
        wanted, there = f"{needed / 1e6:.0f} MB", f"{free / 1e6:.0f} MB"
        super().__init__(path, f"{wanted} are needed for copies of the artifacts' files, {there} are free")
        self.needed, self.free = needed, free
        self.advice = "free space there, or set TMPDIR to a folder with room, and run the same command again"


class RemoteFailed(TimeproofError):
    """A bucket or a registry can't be reached, broke off, or refused. Nothing half-read is kept."""

    exit_code = 7

    def __init__(self, address: object, why: str, *, advice: str = "") -> None:
        super().__init__(f"{address}: {why}", advice=advice or "see that the address is right and answers")
        self.address, self.why = str(address), why


class AccessDenied(RemoteFailed):
    """It answers, and does not let us in."""
