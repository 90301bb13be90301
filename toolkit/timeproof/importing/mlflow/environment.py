"""The environment of an imported MLflow folder: the one that is named, or one made of its requirements."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from timeproof.base.progress import Progress
from timeproof.engines.protocol import Engine
from timeproof.environments.interpreter.inspection import inspect
from timeproof.environments.interpreter.repack import nearest
from timeproof.environments.lock.document import Lock
from timeproof.environments.solve.flow import solve
from timeproof.environments.solve.from_interpreter import lock_from_interpreter
from timeproof.errors import BadArchive, BadEnvironment, FetchFailed, LockFailed
from timeproof.frameworks.registry import frameworks_of
from timeproof.frameworks.spec import FrameworkSpec
from timeproof.images.build import build_environment
from timeproof.images.probe_files import holds_present_probe
from timeproof.importing.mlflow.folder import ModelFolder
from timeproof.importing.mlflow.requirements import ENVIRONMENT, GIVE, Wanted
from timeproof.runs.environment_provider import read_lock_folder
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_environment
from timeproof.store.schema.v1 import EnvironmentRecord


def environment_of(
    archive: Archive,
    folder: ModelFolder,
    wanted: Wanted,
    python: Path | None,
    connect: Callable[[], Engine],
    progress: Progress,
) -> tuple[EnvironmentRecord, tuple[str, ...]]:
    """Make the environment that the folder asks for, unless the archive holds it; and notes about it.

    The requirements are resolved by pip for an interpreter of this machine of the same minor version; where
    there is none, by conda-lock from conda's channels. Every package is locked by its SHA-256.

    Args:
        python: the interpreter to take; None looks for the nearest of this machine.

    Raises BadEnvironment: no solution, a package that can't be had, no such Python.
    """
    python = python or nearest(wanted.python)
    version = wanted.python if python is None else inspect(python).version
    text = wanted.environment_yml(version)
    notes = list(wanted.notes)
    if version != wanted.python:
        notes.append(f"the folder asks for Python {wanted.python}; the environment has {version}")
    if record := _made_before(archive, text):
        return record, tuple(notes)
    lock = _lock(archive, folder, wanted, text, python, progress)
    record = build_environment(
        archive,
        lock,
        text,
        ENVIRONMENT,
        engine_version=connect().version()["version"],
        progress=progress,
    )
    return record, tuple(notes)


def check_holds(record: EnvironmentRecord, spec: FrameworkSpec, folder: ModelFolder) -> None:
    """Raise LockFailed where an environment lacks what runs the model."""
    if spec.name not in frameworks_of(record):
        raise LockFailed(
            f"{folder.root} is a model of {spec.title}, and the environment {record.folder} holds no"
            f" {' or '.join(spec.distributions)}",
            advice=GIVE,
        )


def _made_before(archive: Archive, text: str) -> EnvironmentRecord | None:
    """The archive's newest environment that was made from this very request, with the present probe."""
    same = []
    for name in archive.environment_names():
        if name.rpartition("-")[0] != ENVIRONMENT:
            continue
        try:
            lock, request = read_lock_folder(archive.environments / name)
            if request == text and holds_present_probe(lock):
                same.append(read_environment(archive, name))
        except (BadArchive, LockFailed, UnicodeDecodeError):  # `verify` reports it
            continue
    return max(same, key=lambda r: r.created, default=None)


def _lock(
    archive: Archive,
    folder: ModelFolder,
    wanted: Wanted,
    text: str,
    python: Path | None,
    progress: Progress,
) -> Lock:
    """Lock the request. Raises LockFailed and FetchFailed, which name the folder's own file."""
    store = PackageStore(archive.packages)
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        request = Path(scratch) / "environment.yml"
        request.write_text(text, encoding="utf-8")
        try:
            if python is None:
                return solve(Path(scratch), store, ("linux-64",), progress)
            return lock_from_interpreter(request, python, store, progress)
        except (LockFailed, FetchFailed) as error:
            raise _in_words(error, request, folder.root / wanted.file, wanted, python) from error


def _in_words(
    error: BadEnvironment, request: Path, file: Path, wanted: Wanted, python: Path | None
) -> BadEnvironment:
    """The same error, of the folder's file instead of the request that was made of it."""
    message = error.message.replace(str(request), str(file))
    if python is None:
        message += f"\nno Python {wanted.python} of this machine was there to take instead of a channel's"
    return type(error)(message, advice=f"{GIVE}; or name an interpreter: --python PATH")
