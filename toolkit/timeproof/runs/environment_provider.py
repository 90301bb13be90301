"""Provide an artifact's environment: capture it, read it by name, or build it from a folder with a lock."""

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
from timeproof.store.read import fetch_lock, read_environment
from timeproof.store.schema.v1 import EnvironmentRecord

CAPTURED = "captured"


def from_lock_folder(
    archive: Archive, folder: Path, *, engine_version: str = "", progress: Progress = SILENT
) -> EnvironmentRecord:
    """Fetch and build the environment of a folder with `environment.yml` and `conda-lock.yml`.

    Raises LockFailed where there is no lock, and the errors of fetching and building.
    """
    check_name(folder.name)
    lock, yml = read_lock_folder(folder)
    if record := locate_environment(archive, folder.name, lock):
        return record
    progress.step(f"Fetching the packages of {folder.name}")
    fetch_packages(lock, PackageStore(archive.packages), progress, folder=folder)
    return build_environment(
        archive, lock, yml, folder.name, engine_version=engine_version, progress=progress
    )


def read_lock_folder(folder: Path) -> tuple[Lock, str]:
    """Read a folder's lock, and the text of its environment.yml. Raises LockFailed."""
    path = _lock_file(folder)
    request = folder / "environment.yml"
    text = request.read_text(encoding="utf-8") if request.is_file() else ""
    return read_lock(path.read_bytes(), path), text


def _lock_file(folder: Path) -> Path:
    path = folder / "conda-lock.yml"
    if not path.is_file():
        raise LockFailed(f"there is no {path}", advice=f"make it with 'timeproof lock {folder}'")
    return path


def by_name(archive: Archive, name: str) -> EnvironmentRecord:
    """Read the environment of that folder name, or the newest of that name. Raises NotFound."""
    names = archive.environment_names()
    if name in names:
        return read_environment(archive, name)
    same = [read_environment(archive, n) for n in names if n.rpartition("-")[0] == name]
    if not same:
        raise NotFound(
            f"{archive.root} holds no environment {name!r}",
            advice=f"it holds: {', '.join(names) or 'none yet'}; you can also give a folder of lockfiles/",
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
    """Capture, lock, fetch and build the environment of an interpreter (by default this one).

    An environment that was captured before and has not changed since (interpreter, every installed file's
    size and mtime) is not captured again.
    """
    target = python or Path(sys.executable)
    progress.step("Looking at the environment")
    mark = fingerprint.fingerprint(target)
    if record := _captured_before(archive, name, fingerprint.known_capture(mark, name, without)):
        return record
    result = capture.capture(
        target, PackageStore(archive.packages), name=name, without=without, progress=progress
    )
    record = build_environment(
        archive,
        result.lock,
        result.environment_yml,
        name,
        left_out=result.left_out,
        engine_version=engine_version,
        progress=progress,
    )
    fingerprint.remember_capture(mark, name, record.lock_sha256, without)
    return record


def _captured_before(archive: Archive, name: str, lock_sha256: str | None) -> EnvironmentRecord | None:
    """The archive's environment of that name with that lock and the present probe, where it has one."""
    if lock_sha256 is None:
        return None
    for folder in archive.environment_names():
        if folder.rpartition("-")[0] != name:
            continue
        try:
            record = read_environment(archive, folder)
            fetch_lock(archive, folder)
            lock, _ = read_lock_folder(archive.environments / folder)
        except (BadArchive, LockFailed):
            continue
        if record.lock_sha256 == lock_sha256 and holds_present_probe(lock):
            return record
    return None


def choose(
    archive: Archive,
    environment: str | Path | None,
    *,
    python: Path | None = None,
    without: Sequence[str] = (),
    engine_version: str = "",
    progress: Progress = SILENT,
) -> EnvironmentRecord:
    """Provide an environment: None captures one; a folder is one with a lock; anything else is a name."""
    check_choice(archive, environment, python=python)
    if environment is None:
        return captured(
            archive, python=python, without=without, engine_version=engine_version, progress=progress
        )
    if Path(environment).is_dir():
        return from_lock_folder(
            archive, Path(environment).resolve(), engine_version=engine_version, progress=progress
        )
    return by_name(archive, str(environment))


def check_choice(archive: Archive, environment: str | Path | None, *, python: Path | None = None) -> None:
    """Refuse at once what `choose` would refuse later; needs no engine, and reads no lock.

    Raises BadRequest, NotFound or LockFailed.
    """
    if environment is None:
        return
    if python is not None:
        raise BadRequest("an environment and an interpreter are both named", advice="name one of them")
    if Path(environment).is_dir():
        _lock_file(Path(environment))
    else:
        by_name(archive, str(environment))
