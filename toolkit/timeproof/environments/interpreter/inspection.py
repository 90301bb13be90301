"""What `inspection_program` reports of an interpreter, typed. Runs the script, decides nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from timeproof.base import proc
from timeproof.environments.interpreter import inspection_program
from timeproof.errors import NotCapturable, NotFound

SCRIPT = Path(inspection_program.__file__)

_SUBDIRS = {
    ("linux", "x86_64"): "linux-64",
    ("linux", "aarch64"): "linux-aarch64",
    ("linux", "ppc64le"): "linux-ppc64le",
    ("linux", "s390x"): "linux-s390x",
    ("linux", "riscv64"): "linux-riscv64",
    ("darwin", "x86_64"): "osx-64",
    ("darwin", "arm64"): "osx-arm64",
}


@dataclass(frozen=True)
class Distribution:
    """One installed distribution, as its own metadata describes it."""

    name: str
    version: str
    folder: Path  # the site folder
    metadata: str  # the name of its metadata folder or file, below `folder`
    installer: str | None
    record: bool
    requested: bool
    direct_url: dict[str, Any] | None
    tags: tuple[str, ...]
    requires: tuple[str, ...]
    extras: tuple[str, ...]

    @cached_property
    def key(self) -> str:
        return canonicalize_name(self.name)

    @property
    def editable(self) -> bool:
        return bool((self.direct_url or {}).get("dir_info", {}).get("editable"))


@dataclass(frozen=True)
class Inspection:
    """An interpreter, its site folders and its distributions. `interpreter` is as the script prints it."""

    interpreter: Mapping[str, Any]
    machine: Mapping[str, Any]
    markers: Mapping[str, str]
    folders: tuple[Path, ...]
    distributions: tuple[Distribution, ...]
    broken: tuple[str, ...]  # metadata folders without a name or a version

    @property
    def version(self) -> str:
        return str(self.interpreter["version"])

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    @property
    def executable(self) -> Path:
        return Path(self.interpreter["executable"])

    @property
    def base_prefix(self) -> Path:
        return Path(self.interpreter["base_prefix"])

    @property
    def subdir(self) -> str:
        """The platform in conda's words, such as `linux-64`. Raises NotCapturable for others."""
        key = (str(self.markers["sys_platform"]), str(self.machine["arch"]))
        try:
            return _SUBDIRS[key]
        except KeyError:
            raise NotCapturable(
                [f"the platform {'-'.join(key)} has no name in conda's format"],
                advice="capture on Linux or macOS, on one of the architectures that conda knows",
            ) from None


def _direct_url(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _typed(raw: Mapping[str, Any]) -> Inspection:
    rows = raw["distributions"]
    return Inspection(
        interpreter=raw["interpreter"],
        machine=raw["machine"],
        markers=raw["markers"],
        folders=tuple(Path(f) for f in raw["folders"]),
        distributions=tuple(
            Distribution(
                name=row["name"],
                version=row["version"],
                folder=Path(row["folder"]),
                metadata=row["metadata"],
                installer=row["installer"],
                record=row["record"],
                requested=row["requested"],
                direct_url=_direct_url(row["direct_url"]),
                tags=tuple(row["tags"]),
                requires=tuple(row["requires"]),
                extras=tuple(row["extras"]),
            )
            for row in rows
            if row["name"] and row["version"]
        ),
        broken=tuple(f"{r['folder']}/{r['metadata']}" for r in rows if not (r["name"] and r["version"])),
    )


def is_running(python: Path) -> bool:
    """Whether `python` is the interpreter that we run in: same file and same folder of the same installation.

    The file alone would not do: every virtual environment links to the same one.
    """
    try:
        running, other = Path(sys.executable), Path(os.path.abspath(python))
        same_folder = os.path.realpath(running.parent) == os.path.realpath(other.parent)
        return same_folder and os.path.samefile(running, other)
    except OSError:
        return False


def ask(python: Path, question: str) -> dict[str, Any]:
    """Run the script in `python` and return the object that it printed. Raises NotFound or ToolFailed."""
    if not os.access(python, os.X_OK) or python.is_dir():
        raise NotFound(f"{python} is not a Python interpreter", advice="give the path of a python executable")
    # Site folders depend on HOME and PYTHONNOUSERSITE, which the script reads by itself; -I is for the rest.
    done = proc.run([os.path.abspath(python), "-I", SCRIPT, question], timeout=120.0)
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def inspect(python: Path) -> Inspection:
    """Look at an interpreter: any from 3.6, with nothing of ours installed in it."""
    return _typed(ask(python, "inspect"))
