"""Makes a lock from an `environment.yml`, with the stock conda-lock.

Each package of the lock has a SHA-256 and a placeholder for its place, and lies in the store. The lock is
the caller's to write.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from timeproof.base.digests import Digest
from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.environments.conda import rattler_child
from timeproof.environments.conda.environment import channel_name, locked
from timeproof.environments.conda.fetch import CondaRequest, fetch_conda_package
from timeproof.environments.conda.package_format import read_info
from timeproof.environments.interpreter.inspection import inspect
from timeproof.environments.lock.document import Lock, Package
from timeproof.environments.solve.allowed import NOTHING, Allowed, check_selected
from timeproof.environments.solve.completing import complete, read_request
from timeproof.environments.solve.stock_conda_lock import run_conda_lock
from timeproof.errors import LockFailed
from timeproof.store.package_paths import check_file_name
from timeproof.store.packages import PackageStore


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
        FetchFailed: a package could not be fetched.
        EngineMissing / EngineLost / EngineFailed.
    """
    source = folder / "environment.yml"
    data, request = read_request(source, allowed)
    names = list(platforms or request.get("platforms") or [inspect(Path(sys.executable)).subdir])
    check_selected(data, source, names, allowed)
    progress.step(f"Solving {source} for {', '.join(names)} with conda-lock")
    solution = run_conda_lock(source, data, request, names, allowed=allowed, engine=engine)
    try:
        lock = lock_of_solution(solution, request, names, allowed, store, progress)
        return complete(lock, store, progress)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise LockFailed(f"the solver's answer can't be read: {error!r}"[:500]) from error


def lock_of_solution(
    solution: Any,
    request: Mapping[str, Any],
    platforms: Sequence[str],
    allowed: Allowed,
    store: PackageStore,
    progress: Progress,
) -> Lock:
    """The lock that conda-lock's answer makes, once its conda packages are in the store.

    Raises LockFailed, FetchFailed; for what is no answer of conda-lock's also Python's own errors.
    """
    progress.step(f"Fetching the conda packages among {len(solution['package'])}")
    bases = _channel_addresses(request.get("channels") or [], allowed)
    packages = []
    for row in solution["package"]:
        if row["manager"] == "conda":
            packages.append(_conda_package(row, bases, allowed, store, progress))
        else:
            packages.append(_pip_package(row))
    metadata = solution["metadata"]
    channels = [name for c in metadata["channels"] if (name := channel_name(str(c["url"]))) is not None]
    hashes = [(str(k), str(v)) for k, v in metadata["content_hash"].items()]
    return Lock.make(packages, channels=channels, content_hash=hashes, platforms=platforms)


def _channel_addresses(channels: Sequence[str], allowed: Allowed) -> tuple[str, ...]:
    """The addresses below which the packages of these channels may lie."""
    names = [allowed.expand(channel) for channel in channels if channel != "nodefaults"]
    if not names:
        return ()
    return tuple(str(url) for url in rattler_child.ask({"do": "channels", "channels": names})["urls"])


def _conda_package(
    row: Mapping[str, Any], bases: tuple[str, ...], allowed: Allowed, store: PackageStore, progress: Progress
) -> Package:
    """Fetch a conda package into the store; return how a lock names it."""
    url, hashes = allowed.expand(str(row["url"])), row.get("hash") or {}
    path = unquote(urlsplit(url).path)
    if not url.startswith(bases) or ".." in path.split("/"):
        raise LockFailed(
            f"the solver takes {row['name']!r} from {url[:200]}, which is in none of the channels"
        )
    request = CondaRequest(
        name=str(row["name"]),
        file_name=check_file_name(path.rsplit("/", 1)[-1]),
        subdir=path.rsplit("/", 2)[-2],
        sha256=Digest(hashes["sha256"]) if hashes.get("sha256") else None,
        md5=hashes.get("md5") or None,
        url=url,
    )
    progress.detail(request.file_name)
    digest = fetch_conda_package(request, store)
    package = store.verified(digest, request.file_name)
    depends = read_info(package, "info/index.json")["info/index.json"].get("depends") or []
    return locked(request, depends, str(row["version"]), str(row["platform"]), package, digest)


def _pip_package(row: Mapping[str, Any]) -> Package:
    """How a lock names a wheel of the solution. Raises LockFailed where it is none, or can't be pinned."""
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
