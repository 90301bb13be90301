"""Which shared libraries of this machine some ELF files need, and which Debian packages hold them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from timeproof.base import proc

_RESOLVED = re.compile(r"^\s*(\S+)(?: => (\S+))? \(0x[0-9a-f]+\)$")
_OWNED = re.compile(r"^(\S+?)(?::\S+)?: (/\S+)$")


@dataclass(frozen=True, slots=True, order=True)
class Library:
    """A library by the name that a loader asks for. `package` is None where dpkg knows none."""

    soname: str
    path: str
    package: str | None = None


def _spellings(path: str) -> list[str]:
    """dpkg knows a file by the name it had before `/lib` became a link to `/usr/lib`, or after."""
    names = {path, os.path.realpath(path)}
    names |= {n.removeprefix("/usr") for n in names if n.startswith("/usr/lib")}
    names |= {"/usr" + n for n in names if n.startswith("/lib")}
    return sorted(names)


def libraries_of(files: Sequence[Path], *, inside: Path) -> tuple[Library, ...]:
    """List what the loader takes from outside the folder `inside`, indirect needs included.

    The loader itself and the kernel's own are left out. Empty where `ldd` is missing.
    """
    paths = _resolved(files, inside)
    owners = _owners(paths.values())
    return tuple(
        Library(name, path, next((owners[s] for s in _spellings(path) if s in owners), None))
        for name, path in sorted(paths.items())
    )


def _resolved(files: Sequence[Path], inside: Path) -> dict[str, str]:
    """The libraries outside `inside` that the loader takes, by name."""
    ldd = shutil.which("ldd")
    if ldd is None or not files:
        return {}
    output = proc.run([ldd, *files], check=False).stdout.decode("utf-8", "replace")
    matches = filter(None, map(_RESOLVED.match, output.splitlines()))
    return {m[1]: m[2] for m in matches if m[2] and not Path(m[2]).is_relative_to(inside)}


def _owners(paths: Collection[str]) -> dict[str, str]:
    """The Debian packages that hold these files, by path, where dpkg knows any."""
    dpkg = shutil.which("dpkg-query")
    if dpkg is None or not paths:
        return {}
    names = sorted({name for path in paths for name in _spellings(path)})
    output = proc.run([dpkg, "--search", *names], check=False).stdout.decode("utf-8", "replace")
    matches = filter(None, map(_OWNED.match, output.splitlines()))
    return {match[2]: match[1] for match in matches}
