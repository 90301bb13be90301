"""Capturing an installed environment: to the exact file, by SHA-256, proved against what is installed.

Knows how the steps follow each other; each step is a module of its own. Nothing is installed or changed
in the environment, and nothing is captured halfway: every problem is named in one error.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from packaging.version import InvalidVersion, Version

from timeproof.base.digests import Digest
from timeproof.base.progress import SILENT, Progress
from timeproof.environments.capture.fingerprint import fingerprint, known_capture, remember_capture
from timeproof.environments.capture.proof import prove
from timeproof.environments.capture.selection import select
from timeproof.environments.conda import environment as conda_env
from timeproof.environments.interpreter.inspection import Distribution, Inspection, inspect
from timeproof.environments.interpreter.package import pack_interpreter
from timeproof.environments.lock.dating import dated
from timeproof.environments.lock.document import Lock, Package
from timeproof.environments.lock.reading import check_schema
from timeproof.environments.pip import client as pip
from timeproof.environments.pip.wheels import add_wheels, dependencies_of, target_of
from timeproof.errors import DigestMismatch, NotCapturable
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
class _Found:
    """A distribution, and the wheel in the store that it should have come from."""

    dist: Distribution
    sha256: Digest
    file_name: str


def _origin(dist: Distribution) -> str:
    url = str((dist.direct_url or {}).get("url", ""))
    return f" (it was installed from {url})" if url else ""


def _unfit(dist: Distribution) -> str | None:
    """Why a distribution can't be captured, as far as it can be seen before asking an index."""
    label = f"{dist.name} {dist.version}"
    if dist.editable:
        return (
            f"{label} is an editable install{_origin(dist)}: build a wheel (pip wheel --no-deps .), "
            "and install that file"
        )
    if not dist.record:
        by = f" by {dist.installer}" if dist.installer else ""
        return (
            f"{label} was installed{by} without a RECORD of its files ({dist.folder}): use a virtual "
            f"environment, and install {dist.name}=={dist.version} there with pip"
        )
    try:
        Version(dist.version)
    except InvalidVersion:
        return f"{label}: the version is not one that an index could have (PEP 440); rebuild it with another"
    return None


def _local_wheel(dist: Distribution) -> tuple[Path, Digest] | None:
    """The wheel file that a distribution was installed from, where it is still there."""
    direct = dist.direct_url or {}
    archive = direct.get("archive_info") or {}
    digest = (archive.get("hashes") or {}).get("sha256") or str(archive.get("hash", "")).removeprefix(
        "sha256="
    )
    parts = urlsplit(str(direct.get("url", "")))
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or path.suffix != ".whl" or not path.is_file():
        return None
    try:
        return path, Digest(digest)
    except ValueError:
        return None


def environment_yml(name: str, conda: Sequence[str], wheels: Sequence[tuple[str, str]]) -> str:
    """What was asked for, in conda's words: exact versions. Channels are named, never addressed."""
    lines = [f"name: {name}", "channels:", "- conda-forge", "- nodefaults", "dependencies:"]
    lines += [f"- {spec}" for spec in conda]
    if wheels:
        lines += ["- pip:", *(f"  - {key}=={version}" for key, version in sorted(wheels))]
    return "\n".join(lines) + "\n"


def _wheels(
    found: Inspection,
    kept: Sequence[Distribution],
    store: PackageStore,
    progress: Progress,
    problems: list[str],
) -> list[_Found]:
    """The wheels of `kept`, brought into the store; what can't be had is added to `problems`."""
    placed: dict[str, tuple[Digest, str]] = {}
    ask: dict[str, Distribution] = {}
    apt = found.base_prefix / "lib" / "python3" / "dist-packages"
    if found.interpreter["debian"] and (theirs := [d.name for d in kept if d.folder == apt]):
        problems.append(
            f"{len(theirs)} distributions were installed by apt in {apt}, and no index has those files "
            f"({', '.join(theirs)}): make a virtual environment (python3 -m venv), and install there with pip"
        )
        kept = [d for d in kept if d.folder != apt]
    for dist in kept:
        if (why := _unfit(dist)) is not None:
            problems.append(why)
        elif (local := _local_wheel(dist)) is not None:
            try:
                placed[dist.key] = (store.add_file(local[0], expected=local[1]), local[0].name)
            except DigestMismatch:
                ask[f"{dist.key}==={Version(dist.version)}"] = dist
        else:
            ask[f"{dist.key}==={Version(dist.version)}"] = dist
    if not ask:
        return [_Found(d, *placed[d.key]) for d in kept if d.key in placed]
    progress.step(f"Asking the package indexes for {len(ask)} wheels")
    wheels, absent = pip.report_each(target_of(found), list(ask), on_line=progress.detail)
    for requirement in absent:
        dist = ask[requirement]
        problems.append(
            f"{dist.name} {dist.version}: no index in use has a wheel of it{_origin(dist)}: build one "
            f"(pip wheel --no-deps {dist.name}=={dist.version}), and install that file"
        )
    progress.step(f"Fetching {len(wheels)} wheels")
    placed |= add_wheels(wheels, found.minor, store, progress)
    return [_Found(d, *placed[d.key]) for d in kept if d.key in placed]


def _prove(
    found: Inspection,
    wheels: Sequence[_Found],
    store: PackageStore,
    known: Iterable[str],
    problems: list[str],
) -> None:
    differs, stray = prove(found, [(w.dist, w.sha256, w.file_name) for w in wheels], store, also_known=known)
    for wheel in wheels:
        if (what := differs.get(wheel.dist.key)) is not None:
            dist = wheel.dist
            problems.append(
                f"{dist.name} {dist.version} is not what {wheel.file_name} holds{_origin(dist)}: {what}; "
                f"pip install --force-reinstall --no-deps {dist.name}=={dist.version}"
            )
    for line in stray:
        problems.append(f"{line}: code that no distribution brought; remove it, or make it part of one")


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
        FetchFailed, StorageFailed: packages could not be had, or stored.
    """
    progress.step("Looking at the environment")
    found = inspect(python)
    subdir = found.subdir
    problems = [f"{path} has no name or version: remove it" for path in found.broken]
    conda = conda_env.read(found)
    mine = [d for d in found.distributions if str(d.folder / d.metadata) not in conda.metadata]
    selection = select(mine, found.markers, without=without)
    wheels = _wheels(found, selection.kept, store, progress, problems)
    if conda.records:
        progress.step(f"Fetching {len(conda.records)} conda packages")
        packages, more = conda_env.capture_records(conda, subdir, store, progress)
        problems += more
        libraries: tuple[str, ...] = ()
        system: tuple[str, ...] = ()
    else:
        progress.step("Packing the interpreter")
        packages, libraries, system = [], (), ()
        try:
            with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
                packed = pack_interpreter(found, Path(scratch))
                store.add_file(packed.path, expected=packed.sha256)
            manager: Literal["conda"] = "conda"
            packages.append(
                Package.stored(
                    name="python",
                    version=packed.version,
                    manager=manager,
                    platform=subdir,
                    sha256=packed.sha256,
                    file_name=packed.file_name,
                    md5=packed.md5,
                )
            )
            libraries, system = packed.system_libraries, packed.system_packages
        except NotCapturable as error:
            problems += error.problems
    progress.step(f"Comparing {len(wheels)} distributions with their wheels")
    _prove(found, wheels, store, conda.files, problems)
    if problems:
        raise NotCapturable(problems)

    keys = {w.dist.key for w in wheels}
    for wheel in wheels:
        packages.append(
            Package.stored(
                name=wheel.dist.key,
                version=wheel.dist.version,
                manager="pip",
                platform=subdir,
                sha256=wheel.sha256,
                file_name=wheel.file_name,
                dependencies=dependencies_of(wheel.dist.requires, found.markers, keys),
            )
        )
    lock = dated(Lock.make(packages, channels=conda.channels), store)
    check_schema(lock)
    specs = [f"{p.name}={p.version}" for p in lock.packages if p.manager == "conda"]
    return CapturedEnvironment(
        lock=lock,
        environment_yml=environment_yml(name, specs, [(w.dist.key, w.dist.version) for w in wheels]),
        left_out=selection.left_out,
        python_version=found.version,
        system_libraries=libraries,
        system_packages=system,
    )
