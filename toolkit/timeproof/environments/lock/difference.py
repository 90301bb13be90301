"""What differs between two locks of one environment: packages that came, went or changed. No IO here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from timeproof.environments.lock.document import Lock, Package


@dataclass(frozen=True, slots=True)
class Change:
    """One package before and after; None where it was, or is, not there."""

    before: Package | None
    after: Package | None

    @property
    def package(self) -> Package:
        package = self.after or self.before
        assert package is not None
        return package

    @property
    def kind(self) -> str:
        """`added`, `removed`, `version`, or `file`: the same version, another file of it."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "version" if self.before.version != self.after.version else "file"

    def labels(self) -> tuple[str, str]:
        """Name both sides as short as distinguishes them: by version, or by file name."""
        words = [
            "" if side is None else side.file_name if self.kind == "file" else side.version
            for side in (self.before, self.after)
        ]
        return words[0], words[1]

    def to_json(self) -> dict[str, str]:
        """The change as JSON."""
        row = {"name": self.package.name, "platform": self.package.platform, "change": self.kind}
        for word, side in (("before", self.before), ("after", self.after)):
            if side is not None:
                row |= {word: side.version, f"{word}_file": side.file_name, f"{word}_sha256": side.sha256.hex}
        return row


def differences(before: Lock, after: Lock) -> tuple[Change, ...]:
    """List what changes from one lock to the other: the interpreter first, then by name.

    Laws: `differences(a, a) == ()`, and `differences(b, a)` is `differences(a, b)` with its sides swapped.
    """
    return tuple(sorted(_changes(before, after), key=_order))


def _changes(before: Lock, after: Lock) -> Iterator[Change]:
    old, new = ({p.key: p for p in lock.packages} for lock in (before, after))
    for key in old.keys() | new.keys():
        was, now = old.get(key), new.get(key)
        if was is None or now is None or was.sha256 != now.sha256:
            yield Change(was, now)


def _order(change: Change) -> tuple[str, bool, str, str]:
    package = change.package
    return package.platform, package.name != "python", package.name, package.manager
