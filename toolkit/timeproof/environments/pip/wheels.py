"""Wheels that pip chose, brought into the package store, and what they require in a lock's words."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from timeproof.base.digests import Digest
from timeproof.base.progress import Progress
from timeproof.environments.interpreter.inspection import Inspection
from timeproof.environments.pip import client as pip
from timeproof.store.packages import PackageStore


def target_of(found: Inspection) -> pip.Target:
    libc = found.machine["libc"]
    return pip.Target(
        python=found.executable,
        version=found.version,
        machine=str(found.machine["arch"]),
        glibc=str(libc["version"]) if libc["name"] == "glibc" else "",
    )


def add_wheels(
    wheels: Sequence[pip.Wheel], version: str, store: PackageStore, progress: Progress
) -> dict[str, tuple[Digest, str]]:
    """Bring wheels of a pip report into the store; return (digest, file name) by distribution key.

    Raises FetchFailed.
    """
    placed: dict[str, tuple[Digest, str]] = {}
    wanted = []
    for wheel in wheels:
        local = urlsplit(wheel.url)
        if wheel.sha256 is not None and store.has(wheel.sha256, wheel.file_name):
            placed[wheel.key] = (wheel.sha256, wheel.file_name)
        elif local.scheme == "file":
            progress.detail(wheel.file_name)
            path = Path(unquote(local.path))
            placed[wheel.key] = (
                store.add_file(path, wheel.file_name, expected=wheel.sha256),
                wheel.file_name,
            )
        elif wheel.sha256 is not None:
            wanted.append(pip.Pin(wheel.key, wheel.version, wheel.file_name, wheel.sha256))
    if wanted:
        with tempfile.TemporaryDirectory(prefix="timeproof-") as folder:
            got = pip.download(wanted, version, Path(folder), on_line=progress.detail)
            for pin in wanted:
                store.add_file(got[pin.sha256], pin.file_name, expected=pin.sha256)
                placed[pin.name] = (pin.sha256, pin.file_name)
    return placed


def dependencies_of(
    requires: Iterable[str], markers: Mapping[str, str], locked: Collection[str]
) -> list[tuple[str, str]]:
    """Requirements among the `locked` keys, in a lock's words: (name, specifier), an empty one for any."""
    pairs = {}
    for text in requires:
        row = Requirement(text)
        key = canonicalize_name(row.name)
        if key in locked and (row.marker is None or row.marker.evaluate({**markers, "extra": ""})):
            pairs[str(key)] = str(row.specifier)
    return sorted(pairs.items())
