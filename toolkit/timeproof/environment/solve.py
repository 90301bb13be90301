"""Making a lock from an `environment.yml`: with the stock conda-lock, or for an interpreter of this machine.

What comes out is the same either way: SHA-256 for every package, placeholders for places, every package
in the store, `conda-lock.yml` beside `environment.yml`.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from timeproof import atomic, proc
from timeproof.digests import Digest
from timeproof.environment import conda_shim, pip
from timeproof.environment.capture import add_wheels, dependencies_of, target_of
from timeproof.environment.conda_env import channel_name, locked
from timeproof.environment.conda_fetch import Wanted, bring, run_child
from timeproof.environment.conda_format import read_info
from timeproof.environment.inspected import inspect
from timeproof.environment.interpreter import pack_interpreter
from timeproof.environment.lock import Lock, Package, check_schema
from timeproof.environment.lock_reading import load_yaml
from timeproof.environment.packages import PackageStore, check_file_name
from timeproof.errors import FetchFailed, LockFailed, NotFound, ToolFailed
from timeproof.progress import SILENT, Progress

_REAL = ("conda", "mamba", "micromamba")
_BASE_GLIBC = "2.36"  # of the base image (Debian 12); conda-lock itself would assume 2.28


def _read_environment(path: Path) -> dict[str, Any]:
    try:
        value = load_yaml(path.read_bytes(), path)
    except FileNotFoundError:
        raise NotFound(
            f"there is no {path}", advice="write an environment.yml that says what is wanted"
        ) from None
    if not isinstance(value, dict) or not isinstance(value.get("dependencies"), list):
        raise LockFailed(f"{path} is not an environment.yml: it needs a list of dependencies")
    return value


def _indexes() -> list[str]:
    """The package indexes that pip uses, in order. Those on disk are left out: conda-lock reads none."""
    pip_words = [sys.executable, "-I", "-m", "pip"]
    first: list[str] = []
    more: list[str] = []
    done = proc.run([*pip_words, "config", "list"], check=False)
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition("=")
        urls = value.strip("'\"").split()
        if key.endswith(".index-url"):
            first = urls[-1:]
        elif key.endswith(".extra-index-url"):
            more = urls
    if not first:  # pip's help names its default
        done = proc.run([*pip_words, "download", "--help"], env={**os.environ, "COLUMNS": "400"}, check=False)
        first = re.findall(r"\(default:?\s+(https?://[^\s)]+)\)", done.stdout.decode("utf-8", "replace"))[:1]
    return [url for url in dict.fromkeys([*first, *more]) if url.startswith(("http://", "https://"))]


def _index_settings() -> dict[str, object]:
    """pip's own indexes, for conda-lock's resolver, which does not read pip's configuration."""
    urls = _indexes()
    return {"pip-repositories": urls, "allow-pypi-requests": False} if urls else {}


def _conda(folder: Path) -> Path:
    """The conda that conda-lock shall use: a real one, or the stand-in as an executable file."""
    for name in _REAL:
        if found := shutil.which(name):
            return Path(found)
    shim = folder / "conda"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m {conda_shim.__name__} "$@"\n')
    shim.chmod(0o755)
    return shim


def _virtual_packages(platforms: Sequence[str]) -> dict[str, object]:
    """What the image offers to a solver, in conda-lock's words: our base's C library, and no GPU."""
    subdirs = {}
    for platform in platforms:
        system, _, arch = platform.partition("-")
        offered = {"__archspec": f"1 {'x86_64' if arch == '64' else arch}"}
        if system == "linux":
            offered |= {"__unix": "0", "__linux": "5.10", "__glibc": _BASE_GLIBC}
        elif system == "osx":
            offered |= {"__unix": "0", "__osx": "11.0"}
        else:
            offered |= {"__win": "0"}
        subdirs[platform] = {"packages": offered}
    return {"subdirs": subdirs}


def _run_conda_lock(
    source: Path, wanted: Mapping[str, Any], platforms: Sequence[str], progress: Progress
) -> Any:
    """Run the stock command; return what it wrote, parsed."""
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        folder = Path(scratch)
        asked = folder / "environment.yml"
        settings = {} if "pip-repositories" in wanted else _index_settings()
        settings = {k: v for k, v in settings.items() if k not in wanted}
        # YAML holds JSON; conda-lock's paths are relative to the file, so that a copy reads the same.
        extra = "".join(f"{key}: {_yaml(value)}\n" for key, value in settings.items())
        asked.write_text(source.read_text("utf-8").rstrip() + "\n" + extra, "utf-8")
        # Names map to themselves: the table that conda-lock would fetch is not pinned by anything.
        table = folder / "names.json"
        table.write_text("{}")
        out = folder / "conda-lock.yml"
        argv: list[str | Path] = [sys.executable, "-P", "-m", "conda_lock", "lock", "--conda", _conda(folder)]
        argv += ["--file", asked, "--lockfile", out, "--pypi_to_conda_lookup_file", table.as_uri()]
        virtual = source.parent / "virtual-packages.yml"  # the name that conda-lock looks for
        if not virtual.exists():
            virtual = folder / "virtual-packages.yml"
            virtual.write_text(_yaml(_virtual_packages(platforms)))
        argv += ["--virtual-package-spec", virtual.absolute()]
        for platform in platforms:
            argv += ["--platform", platform]
        said: list[str] = []

        def listen(line: str) -> None:
            said.append(line)
            progress.detail(line)

        try:
            proc.run(argv, cwd=folder, timeout=1800.0, on_line=listen)
        except ToolFailed as error:
            raise LockFailed(
                f"conda-lock found no lock for {source}:\n{_reason(said)}",
                advice="check the channels, names and versions in environment.yml",
            ) from error
        return load_yaml(out.read_bytes(), "conda-lock.yml")


def _reason(lines: Sequence[str]) -> str:
    """What conda-lock said before its own traceback, which says nothing to a user."""
    end = next((i for i, line in enumerate(lines) if line.startswith("Traceback ")), len(lines))
    words = [line for line in lines[:end] if line.strip()]
    return "\n".join((words or list(lines))[-20:])


def _yaml(value: object) -> str:
    from timeproof.strictjson import dumps

    return " ".join(dumps(value).decode().split())


def _conda_package(row: Mapping[str, Any], store: PackageStore, progress: Progress) -> Package:
    url, hashes = str(row["url"]), row.get("hash") or {}
    parts = urlsplit(url)
    wanted = Wanted(
        name=str(row["name"]),
        file_name=check_file_name(unquote(parts.path).rsplit("/", 1)[-1]),
        subdir=unquote(parts.path).rsplit("/", 2)[-2],
        sha256=Digest(hashes["sha256"]) if hashes.get("sha256") else None,
        md5=hashes.get("md5") or None,
        url=url,
    )
    progress.detail(wanted.file_name)
    digest = bring(wanted, store)
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


def _store_and_write(lock: Lock, folder: Path, store: PackageStore, progress: Progress) -> Lock:
    check_schema(lock)
    store.fetch(lock, progress)
    atomic.write(folder / "conda-lock.yml", lock.to_bytes())
    return lock


def solve(
    folder: Path, store: PackageStore, platforms: Sequence[str] = (), progress: Progress = SILENT
) -> Lock:
    """Solve `folder/environment.yml` with the stock conda-lock; write `folder/conda-lock.yml`.

    Args:
        platforms: such as `linux-64`; by default those that environment.yml lists, else this machine's.

    Raises:
        NotFound: there is no environment.yml.
        LockFailed: no solution, or one that can't be pinned by SHA-256; nothing was written.
        FetchFailed: a package could not be had; nothing was written.
    """
    source = folder / "environment.yml"
    wanted = _read_environment(source)
    names = list(platforms or wanted.get("platforms") or [inspect(Path(sys.executable)).subdir])
    progress.step(f"Solving {source} for {', '.join(names)} with conda-lock")
    solved = _run_conda_lock(source, wanted, names, progress)
    progress.step(f"Fetching the conda packages among {len(solved['package'])}")
    packages = []
    for row in solved["package"]:
        if row["manager"] == "conda":
            packages.append(_conda_package(row, store, progress))
        else:
            packages.append(_pip_package(row))
    meta = solved["metadata"]
    channels = [name for c in meta["channels"] if (name := channel_name(str(c["url"]))) is not None]
    hashes = [(str(k), str(v)) for k, v in meta["content_hash"].items()]
    lock = Lock.make(packages, channels=channels, content_hash=hashes, platforms=names)
    return _store_and_write(lock, folder, store, progress)


def lock_from_interpreter(
    environment_yml: Path, python: Path, store: PackageStore, progress: Progress = SILENT
) -> Lock:
    """Lock an environment.yml whose python is a local interpreter; write `conda-lock.yml` beside it.

    For where no conda channel answers. The pip part is resolved by pip's own resolver for that interpreter;
    other conda dependencies than `python` and `pip` can't be had this way.

    Raises:
        LockFailed: another conda dependency, another python, or no solution; nothing was written.
        FetchFailed: a wheel could not be had; nothing was written.
    """
    wanted = _read_environment(environment_yml)
    found = inspect(python)
    specs: list[str] = []
    requirements: list[str] = []
    for item in wanted["dependencies"]:
        if isinstance(item, dict) and set(item) == {"pip"} and isinstance(item["pip"], list):
            requirements += pip.check_requirements([str(r) for r in item["pip"]])
        elif isinstance(item, str):
            specs.append(item)
        else:
            raise LockFailed(f"{environment_yml}: {item!r} is neither a package nor a list of pip's")
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
    answer = run_child({"do": "matches", "specs": pythons, "version": found.version})["matches"]
    for spec, fits in zip(pythons, answer, strict=True):  # type: ignore[call-overload]  # a list of booleans
        if not fits:
            raise LockFailed(f"{environment_yml} wants {spec}; {python} is Python {found.version}")

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
            wheels = pip.report(target_of(found), requirements, resolve=True, on_line=progress.detail)
        except ToolFailed as error:
            raise LockFailed(
                f"pip found no solution for {environment_yml}:\n{error.tail}",
                advice="loosen the versions, or add an index that has wheels for this interpreter",
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
    return _store_and_write(lock, Path(os.path.dirname(environment_yml) or "."), store, progress)
