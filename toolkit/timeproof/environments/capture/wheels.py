"""The wheel that each installed distribution should have come from, fetched into the package store.

What can't be fetched is a line among the problems, and says what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.version import InvalidVersion, Version

from timeproof.base.digests import Digest
from timeproof.base.progress import Progress
from timeproof.environments.interpreter.inspection import Distribution, Inspection
from timeproof.environments.pip import client as pip
from timeproof.environments.pip.wheels import StoredWheel, add_wheels, target_of
from timeproof.errors import DigestMismatch
from timeproof.store.packages import PackageStore


@dataclass(frozen=True, slots=True)
class CapturedWheel:
    """A distribution, and the wheel in the store that it should have come from."""

    dist: Distribution
    sha256: Digest
    file_name: str


def origin(dist: Distribution) -> str:
    """Where a distribution was installed from, in brackets; nothing where that is an index."""
    url = str((dist.direct_url or {}).get("url", ""))
    return f" (it was installed from {url})" if url else ""


def obstacle(dist: Distribution) -> str | None:
    """Why a distribution can't be captured, as far as it shows before an index is asked; else None."""
    label = f"{dist.name} {dist.version}"
    if dist.editable:
        return (
            f"{label} is an editable install{origin(dist)}: build a wheel (pip wheel --no-deps .), "
            "and install that file"
        )
    if not dist.record:
        installer = f" by {dist.installer}" if dist.installer else ""
        return (
            f"{label} was installed{installer} without a RECORD of its files ({dist.folder}): use a virtual "
            f"environment, and install {dist.name}=={dist.version} there with pip"
        )
    try:
        Version(dist.version)
    except InvalidVersion:
        return f"{label}: the version is not one that an index could have (PEP 440); rebuild it with another"
    return None


def local_wheel(dist: Distribution) -> tuple[Path, Digest] | None:
    """The wheel file of this machine that a distribution was installed from, where it still exists."""
    direct = dist.direct_url or {}
    archive = direct.get("archive_info") or {}
    digest = (archive.get("hashes") or {}).get("sha256")
    digest = digest or str(archive.get("hash", "")).removeprefix("sha256=")
    parts = urlsplit(str(direct.get("url", "")))
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or path.suffix != ".whl" or not path.is_file():
        return None
    try:
        return path, Digest(digest)
    except ValueError:
        return None


def fetch_wheels(
    inspection: Inspection,
    distributions: Sequence[Distribution],
    store: PackageStore,
    progress: Progress,
    problems: list[str],
) -> list[CapturedWheel]:
    """Fetch the wheels of distributions into the store; what can't be fetched is added to `problems`.

    Raises FetchFailed, ToolFailed, StorageFailed.
    """
    distributions = _without_apt(inspection, distributions, problems)
    stored: dict[str, StoredWheel] = {}
    requirements: dict[str, Distribution] = {}  # what an index has to be asked for
    for dist in distributions:
        if (problem := obstacle(dist)) is not None:
            problems.append(problem)
        elif (wheel := _store_local_wheel(dist, store)) is not None:
            stored[dist.key] = wheel
        else:
            requirements[f"{dist.key}==={Version(dist.version)}"] = dist
    if requirements:
        stored |= _fetch_from_indexes(inspection, requirements, store, progress, problems)
    wheels = [(dist, stored[dist.key]) for dist in distributions if dist.key in stored]
    return [CapturedWheel(dist, wheel.sha256, wheel.file_name) for dist, wheel in wheels]


def _without_apt(
    inspection: Inspection, distributions: Sequence[Distribution], problems: list[str]
) -> list[Distribution]:
    """Leave out what apt installed, with one problem for all of it: no index has those files."""
    folder = inspection.base_prefix / "lib" / "python3" / "dist-packages"
    if not inspection.interpreter["debian"]:
        return list(distributions)
    names = [d.name for d in distributions if d.folder == folder]
    if names:
        problems.append(
            f"{len(names)} distributions were installed by apt in {folder}, and no index has those files "
            f"({', '.join(names)}): make a virtual environment (python3 -m venv), and install there with pip"
        )
    return [d for d in distributions if d.folder != folder]


def _store_local_wheel(dist: Distribution, store: PackageStore) -> StoredWheel | None:
    """Store the wheel that a distribution was installed from; None where it is gone, or was altered."""
    local = local_wheel(dist)
    if local is None:
        return None
    path, digest = local
    try:
        return StoredWheel(store.add_file(path, expected=digest), path.name)
    except DigestMismatch:
        return None


def _fetch_from_indexes(
    inspection: Inspection,
    requirements: dict[str, Distribution],
    store: PackageStore,
    progress: Progress,
    problems: list[str],
) -> dict[str, StoredWheel]:
    progress.step(f"Asking the package indexes for {len(requirements)} wheels")
    target = target_of(inspection)
    wheels, absent = pip.report_each(target, list(requirements), on_line=progress.detail)
    for requirement in absent:
        dist = requirements[requirement]
        problems.append(
            f"{dist.name} {dist.version}: no index in use has a wheel of it{origin(dist)}: build one "
            f"(pip wheel --no-deps {dist.name}=={dist.version}), and install that file"
        )
    progress.step(f"Fetching {len(wheels)} wheels")
    return add_wheels(wheels, inspection.minor, store, progress)
