"""Which shared libraries of this machine some ELF files need, and which Debian packages hold them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
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
    ldd = shutil.which("ldd")
    if ldd is None or not files:
        return ()
    output = proc.run([ldd, *files], check=False).stdout.decode("utf-8", "replace")
    paths: dict[str, str] = {}
    for line in output.splitlines():
        found = _RESOLVED.match(line)
        if found and found[2] and not Path(found[2]).is_relative_to(inside):
            paths[found[1]] = found[2]
    owners: dict[str, str] = {}
    dpkg = shutil.which("dpkg-query")
    if dpkg is not None and paths:
        asked = sorted({name for path in paths.values() for name in _spellings(path)})
        answer = proc.run([dpkg, "--search", *asked], check=False).stdout.decode("utf-8", "replace")
        for line in answer.splitlines():
            if owned := _OWNED.match(line):
                owners[owned[2]] = owned[1]
    return tuple(
        Library(name, path, next((owners[s] for s in _spellings(path) if s in owners), None))
        for name, path in sorted(paths.items())
    )
