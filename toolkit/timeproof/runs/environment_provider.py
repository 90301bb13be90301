"""Which environment an artifact is sealed in: captured, named, or made from a folder of `lockfiles/`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from timeproof.base.progress import SILENT, Progress
from timeproof.environments.capture import fingerprint
from timeproof.environments.capture import flow as capture
from timeproof.environments.fetch import fetch_packages
from timeproof.environments.lock.document import Lock
from timeproof.environments.lock.reading import read_lock
from timeproof.errors import BadArchive, BadRequest, LockFailed, NotFound
from timeproof.images.build import build_environment, locate_environment
from timeproof.images.probe_files import holds_present_probe
from timeproof.images.tags import check_name
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_environment
from timeproof.store.schema.v1 import EnvironmentRecord

CAPTURED = "captured"


def from_lock_folder(
    archive: Archive, folder: Path, *, engine_version: str = "", progress: Progress = SILENT
) -> EnvironmentRecord:
    """Fetch and build the environment of a folder with `environment.yml` and `conda-lock.yml`.

    Raises LockFailed where there is no lock, and what fetching and building raise.
    """
    check_name(folder.name)
    lock, yml = read_lock_folder(folder)
    if there := locate_environment(archive, folder.name, lock):
        return there
    progress.step(f"Fetching the packages of {folder.name}")
    fetch_packages(lock, PackageStore(archive.packages), progress, folder=folder)
    return build_environment(
        archive, lock, yml, folder.name, engine_version=engine_version, progress=progress
    )


def read_lock_folder(folder: Path) -> tuple[Lock, str]:
    """Read a lock, and the text of what was asked for. Raises LockFailed."""
    path = folder / "conda-lock.yml"
    if not path.is_file():
        raise LockFailed(f"there is no {path}", advice=f"make it with 'timeproof lock {folder}'")
    asked = folder / "environment.yml"
    text = asked.read_text(encoding="utf-8") if asked.is_file() else ""
    return read_lock(path.read_bytes(), path), text


def by_name(archive: Archive, name: str) -> EnvironmentRecord:
    """The environment of that folder name, or the newest of that name. Raises NotFound."""
    names = archive.environment_names()
    if name in names:
        return read_environment(archive, name)
    same = [read_environment(archive, n) for n in names if n.rpartition("-")[0] == name]
    if not same:
        raise NotFound(
            f"{archive.root} holds no environment {name!r}",
            advice=f"it holds: {', '.join(names) or 'none yet'}; a folder of lockfiles/ works too",
        )
    return max(same, key=lambda r: r.created)


def captured(
    archive: Archive,
    *,
    python: Path | None = None,
    name: str = CAPTURED,
    without: Sequence[str] = (),
    engine_version: str = "",
    progress: Progress = SILENT,
) -> EnvironmentRecord:
    """The environment of an interpreter (this one by default), captured, locked, fetched and built.

    What was captured before and has not changed since (interpreter, every installed file's size and
    mtime) is not captured again.
    """
    target = python or Path(sys.executable)
    progress.step("Looking at the environment")
    mark = fingerprint.fingerprint(target)
    known = fingerprint.known_capture(mark, name, without)
    if known is not None:
        for folder in archive.environment_names():
            if folder.rpartition("-")[0] != name:
                continue
            try:
                record = read_environment(archive, folder)
                lock, _ = read_lock_folder(archive.environments / folder)
            except (BadArchive, LockFailed):
                continue
            if record.lock_sha256 == known and holds_present_probe(lock):
                return record
    found = capture.capture(
        target, PackageStore(archive.packages), name=name, without=without, progress=progress
    )
    record = build_environment(
        archive,
        found.lock,
        found.environment_yml,
        name,
        left_out=found.left_out,
        engine_version=engine_version,
        progress=progress,
    )
    fingerprint.remember_capture(mark, name, record.lock_sha256, without)
    return record


def choose(
    archive: Archive,
    environment: str | Path | None,
    *,
    python: Path | None = None,
    without: Sequence[str] = (),
    engine_version: str = "",
    progress: Progress = SILENT,
) -> EnvironmentRecord:
    """The environment that was asked for: None captures; a folder is a lock's; else a name."""
    if environment is None:
        return captured(
            archive, python=python, without=without, engine_version=engine_version, progress=progress
        )
    if python is not None:
        raise BadRequest("an environment and an interpreter were both given", advice="give one of them")
    if Path(environment).is_dir():
        return from_lock_folder(
            archive, Path(environment).resolve(), engine_version=engine_version, progress=progress
        )
    return by_name(archive, str(environment))
