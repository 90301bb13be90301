"""Captures an installed environment: to the exact file, by SHA-256, proved against what is installed.

Knows the order of the steps; each step is a module of its own. Nothing is installed or changed in the
environment, and nothing is captured in part: every problem is named in one error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timeproof.base.progress import SILENT, Progress
from timeproof.environments.capture.fingerprint import fingerprint, known_capture, remember_capture
from timeproof.environments.capture.proof import prove
from timeproof.environments.capture.selection import select
from timeproof.environments.capture.wheels import CapturedWheel, fetch_wheels, origin
from timeproof.environments.conda import environment as conda_env
from timeproof.environments.interpreter.inspection import Inspection, inspect
from timeproof.environments.interpreter.storing import store_interpreter
from timeproof.environments.lock.dating import dated
from timeproof.environments.lock.document import Lock, Package
from timeproof.environments.lock.reading import check_schema
from timeproof.environments.pip.wheels import StoredWheel, locked_wheel
from timeproof.errors import NotCapturable
from timeproof.store.packages import PackageStore

__all__ = ["CapturedEnvironment", "capture", "fingerprint", "known_capture", "remember_capture"]


@dataclass(frozen=True, slots=True)
class CapturedEnvironment:
    """A captured environment. Every package of `lock` is in the package store."""

    lock: Lock
    environment_yml: str
    left_out: tuple[tuple[str, str], ...]  # (distribution, reason)
    python_version: str
    system_libraries: tuple[str, ...]  # sonames that the interpreter needs from the base
    system_packages: tuple[str, ...]  # the Debian packages that hold them, where dpkg knows


@dataclass(frozen=True, slots=True)
class _CondaPart:
    """The conda packages of an environment, the interpreter among them, and what that needs of the base."""

    packages: tuple[Package, ...] = ()
    system_libraries: tuple[str, ...] = ()
    system_packages: tuple[str, ...] = ()


def environment_yml(name: str, conda: Sequence[str], wheels: Sequence[tuple[str, str]]) -> str:
    """Write an environment.yml with exact versions. Channels are named, never addressed."""
    lines = [f"name: {name}", "channels:", "- conda-forge", "- nodefaults", "dependencies:"]
    lines += [f"- {spec}" for spec in conda]
    if wheels:
        lines += ["- pip:", *(f"  - {key}=={version}" for key, version in sorted(wheels))]
    return "\n".join(lines) + "\n"


def capture(
    python: Path,
    store: PackageStore,
    *,
    name: str,
    without: Collection[str] = (),
    progress: Progress = SILENT,
) -> CapturedEnvironment:
    """Capture the environment of the interpreter `python`: a lock, and every package of it in `store`.

    Which distributions belong is `selection`'s rule. The interpreter comes along as a conda package; a conda
    environment's own packages come by their `conda-meta` records instead.

    Args:
        name: of the environment, in environment.yml.
        without: distributions to leave out.

    Raises:
        NotCapturable: names *every* distribution that can't be captured exactly, and what to do about it.
        FetchFailed, StorageFailed: packages could not be fetched, or stored.
    """
    progress.step("Looking at the environment")
    inspection = inspect(python)
    problems = [f"{path} has no name or version: remove it" for path in inspection.broken]
    conda = conda_env.read(inspection)
    installed = [d for d in inspection.distributions if str(d.folder / d.metadata) not in conda.metadata]
    selection = select(installed, inspection.markers, without=without)
    wheels = fetch_wheels(inspection, selection.selected, store, progress, problems)
    conda_part = _capture_conda_part(inspection, conda, store, progress, problems)
    progress.step(f"Comparing {len(wheels)} distributions with their wheels")
    problems += _differences(inspection, wheels, store, conda.files)
    if problems:
        raise NotCapturable(problems)

    packages = [*conda_part.packages, *_locked(wheels, inspection)]
    lock = dated(Lock.make(packages, channels=conda.channels), store)
    check_schema(lock)
    specs = [f"{p.name}={p.version}" for p in lock.packages if p.manager == "conda"]
    return CapturedEnvironment(
        lock=lock,
        environment_yml=environment_yml(name, specs, [(w.dist.key, w.dist.version) for w in wheels]),
        left_out=selection.left_out,
        python_version=inspection.version,
        system_libraries=conda_part.system_libraries,
        system_packages=conda_part.system_packages,
    )


def _capture_conda_part(
    inspection: Inspection,
    conda: conda_env.CondaEnvironment,
    store: PackageStore,
    progress: Progress,
    problems: list[str],
) -> _CondaPart:
    """The recorded packages of a conda environment; else the interpreter, packed."""
    if conda.records:
        progress.step(f"Fetching {len(conda.records)} conda packages")
        packages, more = conda_env.capture_records(conda, inspection.subdir, store, progress)
        problems += more
        return _CondaPart(tuple(packages))
    progress.step("Packing the interpreter")
    try:
        packed, package = store_interpreter(inspection, store)
    except NotCapturable as error:
        problems += error.problems
        return _CondaPart()
    return _CondaPart((package,), packed.system_libraries, packed.system_packages)


def _differences(
    inspection: Inspection,
    wheels: Sequence[CapturedWheel],
    store: PackageStore,
    conda_files: Iterable[str],
) -> list[str]:
    """One line for each distribution that differs from its wheel, and for code of no distribution."""
    rows = [(w.dist, w.sha256, w.file_name) for w in wheels]
    differences, stray = prove(inspection, rows, store, accounted=conda_files)
    lines = [
        f"{wheel.dist.name} {wheel.dist.version} is not what {wheel.file_name} holds{origin(wheel.dist)}: "
        f"{differences[wheel.dist.key]}; "
        f"pip install --force-reinstall --no-deps {wheel.dist.name}=={wheel.dist.version}"
        for wheel in wheels
        if wheel.dist.key in differences
    ]
    return lines + [
        f"{line}: code that no distribution brought; remove it, or make it part of one" for line in stray
    ]


def _locked(wheels: Sequence[CapturedWheel], inspection: Inspection) -> list[Package]:
    keys = {wheel.dist.key for wheel in wheels}
    return [
        locked_wheel(
            wheel.dist.key,
            wheel.dist.version,
            inspection.subdir,
            StoredWheel(wheel.sha256, wheel.file_name),
            requires=wheel.dist.requires,
            markers=inspection.markers,
            keys=keys,
        )
        for wheel in wheels
    ]
