"""Making a lock from an `environment.yml`: with the stock conda-lock, or for an interpreter of this machine.

What comes out is the same either way: SHA-256 for every package, placeholders for places, every package
in the store. The lock is the caller's to write.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from timeproof.base.digests import Digest
from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.environments.conda import rattler_child
from timeproof.environments.conda.environment import channel_name, locked
from timeproof.environments.conda.fetch import CondaRequest, fetch_conda_package
from timeproof.environments.conda.package_format import read_info
from timeproof.environments.fetch import fetch_packages
from timeproof.environments.interpreter.inspection import inspect
from timeproof.environments.interpreter.package import pack_interpreter
from timeproof.environments.lock.dating import dated
from timeproof.environments.lock.document import Lock, Package
from timeproof.environments.lock.reading import check_schema, read_lock
from timeproof.environments.pip.wheels import add_wheels, dependencies_of
from timeproof.environments.solve.allowed import NOTHING, Allowed, check_selected, read_environment
from timeproof.environments.solve.pip_solve import resolve
from timeproof.environments.solve.stock_conda_lock import run_conda_lock
from timeproof.errors import FetchFailed, LockFailed, NotFound
from timeproof.store.packages import PackageStore, check_file_name


def _read(path: Path, allowed: Allowed) -> tuple[bytes, dict[str, Any]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(
            f"there is no {path}", advice="write an environment.yml that says what is wanted"
        ) from None
    return data, read_environment(data, path, allowed)


def _places(channels: Sequence[str], allowed: Allowed) -> tuple[str, ...]:
    """The addresses below which the packages of these channels may lie."""
    named = [allowed.expand(c) for c in channels if c != "nodefaults"]
    if not named:
        return ()
    return tuple(str(url) for url in rattler_child.ask({"do": "channels", "channels": named})["urls"])


def _conda_package(
    row: Mapping[str, Any], places: tuple[str, ...], allowed: Allowed, store: PackageStore, progress: Progress
) -> Package:
    url, hashes = allowed.expand(str(row["url"])), row.get("hash") or {}
    parts = urlsplit(url)
    if not url.startswith(places) or ".." in unquote(parts.path).split("/"):
        raise LockFailed(
            f"the solver takes {row['name']!r} from {url[:200]}, which is in none of the channels"
        )
    wanted = CondaRequest(
        name=str(row["name"]),
        file_name=check_file_name(unquote(parts.path).rsplit("/", 1)[-1]),
        subdir=unquote(parts.path).rsplit("/", 2)[-2],
        sha256=Digest(hashes["sha256"]) if hashes.get("sha256") else None,
        md5=hashes.get("md5") or None,
        url=url,
    )
    progress.detail(wanted.file_name)
    digest = fetch_conda_package(wanted, store)
    path = store.verified(digest, wanted.file_name)
    depends = read_info(path, "info/index.json")["info/index.json"].get("depends") or []
    return locked(wanted, depends, str(row["version"]), str(row["platform"]), path, digest)


def _pip_package(row: Mapping[str, Any]) -> Package:
    name, version, sha256 = str(row["name"]), str(row["version"]), (row.get("hash") or {}).get("sha256")
    file_name = unquote(urlsplit(str(row["url"])).path).rsplit("/", 1)[-1]
    if row.get("source") or not file_name.endswith(".whl"):
        raise LockFailed(
            f"{name} {version} has no wheel for {row['platform']}, only {file_name or row['url']}",
            advice="choose a version that has one, or build a wheel and offer it in a package index",
        )
    if not sha256:
        raise LockFailed(f"{name} {version}: the index gives no SHA-256", advice="use another package index")
    return Package.stored(
        name=str(canonicalize_name(name)),
        version=version,
        manager="pip",
        platform=str(row["platform"]),
        sha256=Digest(sha256),
        file_name=file_name,
        # '' stands for any version: '*' is no PEP 440 specifier.
        dependencies=[(k, "" if v == "*" else str(v)) for k, v in (row.get("dependencies") or {}).items()],
    )


def _complete(lock: Lock, store: PackageStore, progress: Progress) -> Lock:
    lock = read_lock(lock.to_bytes(), "the solver's answer")  # its names end up on command lines
    check_schema(lock)
    fetch_packages(lock, store, progress)
    return dated(lock, store)


def solve(
    folder: Path,
    store: PackageStore,
    platforms: Sequence[str] = (),
    progress: Progress = SILENT,
    *,
    allowed: Allowed = NOTHING,
    engine: Engine | None = None,
) -> Lock:
    """Solve `folder/environment.yml` with the stock conda-lock, in a container.

    Args:
        platforms: such as `linux-64`; by default those that environment.yml lists, else this machine's.
        allowed: what a file that may be a stranger's asks for all the same.
        engine: runs the container; by default what answers.

    Raises:
        NotFound: there is no environment.yml.
        LockFailed: it asks for what is not allowed; no solution, or one that can't be pinned by SHA-256.
        FetchFailed: a package could not be had.
        EngineMissing / EngineLost / EngineFailed.
    """
    source = folder / "environment.yml"
    data, wanted = _read(source, allowed)
    names = list(platforms or wanted.get("platforms") or [inspect(Path(sys.executable)).subdir])
    check_selected(data, source, names, allowed)
    progress.step(f"Solving {source} for {', '.join(names)} with conda-lock")
    solved = run_conda_lock(source, data, wanted, names, allowed=allowed, engine=engine)
    try:
        return _complete(_taken(solved, wanted, names, allowed, store, progress), store, progress)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise LockFailed(f"the solver's answer can't be read: {error!r}"[:500]) from error


def _taken(
    solved: Any,
    wanted: Mapping[str, Any],
    platforms: Sequence[str],
    allowed: Allowed,
    store: PackageStore,
    progress: Progress,
) -> Lock:
    """The lock that conda-lock's answer makes, once its conda packages are in the store."""
    progress.step(f"Fetching the conda packages among {len(solved['package'])}")
    places = _places(wanted.get("channels") or [], allowed)
    packages = []
    for row in solved["package"]:
        if row["manager"] == "conda":
            packages.append(_conda_package(row, places, allowed, store, progress))
        else:
            packages.append(_pip_package(row))
    meta = solved["metadata"]
    channels = [name for c in meta["channels"] if (name := channel_name(str(c["url"]))) is not None]
    hashes = [(str(k), str(v)) for k, v in meta["content_hash"].items()]
    return Lock.make(packages, channels=channels, content_hash=hashes, platforms=platforms)


def lock_from_interpreter(
    environment_yml: Path,
    python: Path,
    store: PackageStore,
    progress: Progress = SILENT,
    *,
    allowed: Allowed = NOTHING,
    engine: Engine | None = None,
) -> Lock:
    """Lock an environment.yml whose python is a local interpreter.

    For where no conda channel answers. pip's own resolver resolves the pip part for that interpreter, in a
    container; other conda dependencies than `python` and `pip` can't be had this way.

    Raises:
        LockFailed: another conda dependency, another python, what is not allowed, or no solution.
        FetchFailed: a wheel could not be had.
        EngineMissing / EngineLost / EngineFailed.
    """
    _, wanted = _read(environment_yml, allowed)
    found = inspect(python)
    specs: list[str] = []
    requirements: list[str] = []
    for item in wanted["dependencies"]:
        if isinstance(item, str):
            specs.append(item)
        else:
            requirements += [str(Requirement(str(line))) for line in item["pip"]]
    pythons = [
        s
        for s in specs
        if canonicalize_name(s.split("=")[0].split("<")[0].split(">")[0].split(" ")[0]) == "python"
    ]
    if others := [s for s in specs if s not in pythons and s != "pip"]:
        raise LockFailed(
            f"{environment_yml} wants {', '.join(others)} from a conda channel",
            advice="lock it without a local interpreter, or name these packages below `pip:`",
        )
    answer = rattler_child.ask({"do": "matches", "specs": pythons, "version": found.version})["matches"]
    for spec, fits in zip(pythons, answer, strict=True):
        if not fits:
            raise LockFailed(
                f"{environment_yml} wants {spec}; {python} is Python {found.version}",
                advice="give an interpreter that fits, or loosen python in environment.yml",
            )

    progress.step("Packing the interpreter")
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        packed = pack_interpreter(found, Path(scratch))
        store.add_file(packed.path, expected=packed.sha256)
    packages = [
        Package.stored(
            name="python",
            version=packed.version,
            manager="conda",
            platform=packed.subdir,
            sha256=packed.sha256,
            file_name=packed.file_name,
            md5=packed.md5,
        )
    ]
    if requirements:
        progress.step(f"Resolving {len(requirements)} pip dependencies")
        try:
            wheels = resolve(found, requirements, allowed=allowed, engine=engine)
        except LockFailed as error:
            raise LockFailed(
                f"pip found no solution for {environment_yml}:\n{error.message}",
                advice=error.advice
                or "loosen the versions, or add an index that has wheels for this interpreter",
            ) from error
        progress.step(f"Fetching {len(wheels)} wheels")
        placed = add_wheels(wheels, found.minor, store, progress)
        if absent := [w.file_name for w in wheels if w.key not in placed]:
            raise FetchFailed(f"the index gives no SHA-256 for {', '.join(absent)}")
        for wheel in wheels:
            digest, file_name = placed[wheel.key]
            packages.append(
                Package.stored(
                    name=wheel.key,
                    version=wheel.version,
                    manager="pip",
                    platform=packed.subdir,
                    sha256=digest,
                    file_name=file_name,
                    dependencies=dependencies_of(wheel.requires, found.markers, set(placed)),
                )
            )
    lock = Lock.make(packages)
    return _complete(lock, store, progress)
