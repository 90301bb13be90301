"""Wheels that pip chose, fetched into the package store, and how a lock names them."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from timeproof.base.digests import Digest
from timeproof.base.progress import Progress
from timeproof.environments.interpreter.inspection import Inspection
from timeproof.environments.lock.document import Package
from timeproof.environments.pip import client as pip
from timeproof.store.packages import PackageStore


@dataclass(frozen=True, slots=True)
class StoredWheel:
    """A wheel in the package store."""

    sha256: Digest
    file_name: str


def target_of(inspection: Inspection) -> pip.Target:
    """The interpreter that pip chooses wheels for."""
    libc = inspection.machine["libc"]
    return pip.Target(
        python=inspection.executable,
        version=inspection.version,
        machine=str(inspection.machine["arch"]),
        glibc=str(libc["version"]) if libc["name"] == "glibc" else "",
    )


def add_wheels(
    wheels: Sequence[pip.Wheel], version: str, store: PackageStore, progress: Progress
) -> dict[str, StoredWheel]:
    """Fetch wheels of a pip report into the store; return them by distribution key.

    A wheel of an index that gives no SHA-256 is left out.

    Args:
        version: of the interpreter that they are for, such as `3.11`.

    Raises FetchFailed, DigestMismatch, StorageFailed.
    """
    stored: dict[str, StoredWheel] = {}
    pins = []
    for wheel in wheels:
        address = urlsplit(wheel.url)
        if wheel.sha256 is not None and store.has(wheel.sha256, wheel.file_name):
            stored[wheel.key] = StoredWheel(wheel.sha256, wheel.file_name)
        elif address.scheme == "file":
            progress.detail(wheel.file_name)
            path = Path(unquote(address.path))
            digest = store.add_file(path, wheel.file_name, expected=wheel.sha256)
            stored[wheel.key] = StoredWheel(digest, wheel.file_name)
        elif wheel.sha256 is not None:
            pins.append(pip.Pin(wheel.key, wheel.version, wheel.file_name, wheel.sha256))
    if pins:
        with tempfile.TemporaryDirectory(prefix="timeproof-") as folder:
            files = pip.download(pins, version, Path(folder), on_line=progress.detail)
            for pin in pins:
                store.add_file(files[pin.sha256], pin.file_name, expected=pin.sha256)
                stored[pin.name] = StoredWheel(pin.sha256, pin.file_name)
    return stored


def locked_wheel(
    key: str,
    version: str,
    platform: str,
    wheel: StoredWheel,
    *,
    requires: Iterable[str],
    markers: Mapping[str, str],
    keys: Collection[str],
) -> Package:
    """How a lock names a wheel of the store. `keys` are those of all distributions in the lock."""
    return Package.stored(
        name=key,
        version=version,
        manager="pip",
        platform=platform,
        sha256=wheel.sha256,
        file_name=wheel.file_name,
        dependencies=dependencies_of(requires, markers, keys),
    )


def dependencies_of(
    requires: Iterable[str], markers: Mapping[str, str], keys: Collection[str]
) -> list[tuple[str, str]]:
    """The requirements among the locked `keys`: pairs of (key, specifier), "" for any version."""
    pairs = {}
    for text in requires:
        requirement = Requirement(text)
        key = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({**markers, "extra": ""})
        if key in keys and applies:
            pairs[str(key)] = str(requirement.specifier)
    return sorted(pairs.items())
