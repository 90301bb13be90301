"""The bytes on disk are not what they should be: exit code 3. The owner of the archive must act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from timeproof.errors.root import TimeproofError, sayable


class BadArchive(TimeproofError):
    """The bytes on disk are not what the archive says they are.

    Args:
        statement: what is wrong, as the rest of a sentence that begins with the path.
        path: the file or folder; it may be assigned anew (a copy of a remote archive is known by its
            address), and `message` follows.
    """

    exit_code = 3

    def __init__(self, statement: str, *, path: object, advice: str = "") -> None:
        self.path = str(path)
        super().__init__(statement, advice=advice)

    @property
    def message(self) -> str:
        return f"{sayable(self.path)} {self._message}"


class Missing(BadArchive):
    def __init__(self, path: object) -> None:
        super().__init__("is missing", path=path, advice="restore it from a copy of the archive")


class Unlisted(BadArchive):
    def __init__(self, path: object) -> None:
        super().__init__(
            "is in the archive, but nothing lists it",
            path=path,
            advice="move it out of the archive; nothing in the archive refers to it",
        )


class NotRegular(BadArchive):
    fact_keys: ClassVar[Mapping[str, str]] = {"nature": "what"}

    def __init__(self, path: object, nature: str) -> None:
        super().__init__(
            f"is {nature}, not a regular file",
            path=path,
            advice="replace it with the file itself: links and devices are never followed",
        )
        self.nature = nature


class Unreadable(BadArchive):
    def __init__(self, path: object, error: OSError) -> None:
        why = error.strerror or type(error).__name__
        super().__init__(f"can't be read: {why}", path=path, advice="mend its permissions, or the disk")
        self.why = why


class SizeMismatch(BadArchive):
    def __init__(self, path: object, expected: int, actual: int) -> None:
        super().__init__(
            f"is {actual} bytes long, not {expected}",
            path=path,
            advice="the file was cut or grew: restore it from a copy of the archive",
        )
        self.expected, self.actual = expected, actual


class DigestMismatch(BadArchive):
    def __init__(self, path: object, expected: object, actual: object) -> None:
        super().__init__(
            f"has SHA-256 {actual}, not {expected}",
            path=path,
            advice="the file was altered: restore it from a copy of the archive",
        )
        self.expected, self.actual = str(expected), str(actual)


class UnsafePath(BadArchive):
    def __init__(self, path: str, why: str) -> None:
        super().__init__(why, path=path)
        self.why = why

    @property
    def message(self) -> str:
        return sayable(f"the path {self.path!r} is refused: {self.why}")


class Malformed(BadArchive):
    """A file can't be read as its format. `issues` lists every problem, each with its place."""

    def __init__(self, path: object, issues: Sequence[str]) -> None:
        more = f" (and {len(issues) - 3} more)" if len(issues) > 3 else ""
        super().__init__(f"is malformed: {'; '.join(issues[:3])}{more}", path=path)
        self.issues = list(issues)


class NewerSchema(BadArchive):
    fact_keys: ClassVar[Mapping[str, str]] = {"version": "found", "newest": "known"}

    def __init__(self, path: object, version: int, newest: int) -> None:
        super().__init__(
            f"has schema version {version}; this toolkit reads up to {newest}: it needs a newer toolkit",
            path=path,
            advice="upgrade timeproof, and try again",
        )
        self.version, self.newest = version, newest


class Limit(BadArchive):
    fact_keys: ClassVar[Mapping[str, str]] = {"excess": "what"}

    def __init__(self, path: object, excess: str) -> None:
        super().__init__(f"goes beyond a limit: {excess}", path=path)
        self.excess = excess


class Exists(BadArchive):
    def __init__(self, path: object) -> None:
        super().__init__(
            "exists already, and is never overwritten",
            path=path,
            advice="leave the version out, so that the next free one is taken",
        )


class ManyFindings(BadArchive):
    """Several findings of one check, raised once."""

    def __init__(self, path: object, findings: Sequence[BadArchive]) -> None:
        listing = "\n".join(f"  {f.kind}: {f.message}" for f in findings)
        super().__init__(f"{len(findings)} findings\n{listing}", path=path)
        self.findings = [f.facts() for f in findings]

    @property
    def message(self) -> str:
        return f"{sayable(self.path)}: {self._message}"


def raise_findings(path: object, findings: Sequence[BadArchive]) -> None:
    """Raise the one finding, or all of them as one; return where there is none."""
    if len(findings) == 1:
        raise findings[0]
    if findings:
        raise ManyFindings(path, findings)
