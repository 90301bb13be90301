"""Fetches one conda package, by hash, from the caches of this machine or from a channel.

Channels are conda's and rattler's own configuration, and what a caller names; none is named here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from timeproof.base.digests import Digest
from timeproof.environments.conda import rattler_child
from timeproof.environments.conda.package_format import hashes
from timeproof.errors import FetchFailed, ToolFailed
from timeproof.store.packages import PackageStore


@dataclass(frozen=True, slots=True)
class CondaRequest:
    """A conda package to be fetched, by file name and hash. `url` is where it was last, or empty."""

    name: str
    file_name: str
    subdir: str
    sha256: Digest | None
    md5: str | None
    url: str = ""


def caches(near: Iterable[Path] = ()) -> list[Path]:
    """Folders on this machine that may hold conda packages, as conda and mamba use them."""
    variable = os.environ.get("CONDA_PKGS_DIRS", "")
    roots = [os.environ.get("MAMBA_ROOT_PREFIX"), os.environ.get("CONDA_ROOT"), *map(str, near)]
    if exe := os.environ.get("CONDA_EXE"):
        roots.append(str(Path(exe).parent.parent))
    folders = [Path(p) for p in variable.replace(",", os.pathsep).split(os.pathsep) if p]
    for root in filter(None, roots):
        folders.append(Path(root, "pkgs"))
        if Path(root).parent.name == "envs":
            folders.append(Path(root).parent.parent / "pkgs")
    home = Path(os.path.expanduser("~"))
    folders += [home / ".conda" / "pkgs", home / ".mamba" / "pkgs"]
    return [p for p in dict.fromkeys(folders) if p.is_dir()]


def _candidates(
    request: CondaRequest, near: Iterable[Path], channels: Sequence[str]
) -> Iterator[tuple[str, Path | str]]:
    for folder in caches(near):
        path = folder / request.file_name
        if path.is_file():
            yield str(path), path
    if request.url:
        parts = urlsplit(request.url)
        yield request.url, Path(unquote(parts.path)) if parts.scheme == "file" else request.url
    if channels:
        for base in rattler_child.ask({"do": "channels", "channels": list(channels)})["urls"]:
            url = f"{str(base).rstrip('/')}/{request.subdir}/{request.file_name}"
            parts = urlsplit(url)
            yield url, Path(unquote(parts.path)) if parts.scheme == "file" else url


def _fits(path: Path, request: CondaRequest) -> Digest | None:
    md5, sha = hashes(path)
    if request.sha256 is not None:
        return request.sha256 if sha == request.sha256.hex else None
    return Digest(sha) if request.md5 and md5 == request.md5 else None


def fetch_conda_package(
    request: CondaRequest, store: PackageStore, *, near: Iterable[Path] = (), channels: Sequence[str] = ()
) -> Digest:
    """Fetch the package into the store, unless it is in it; return its SHA-256.

    Where only an MD5 is known (records of old conda), it picks the file, and the SHA-256 is taken of it.

    Raises:
        FetchFailed: it is nowhere, or only with other bytes; names the file and every place.
    """
    if request.sha256 is not None and store.has(request.sha256, request.file_name):
        return request.sha256
    tried = []
    with tempfile.TemporaryDirectory(prefix="timeproof-") as folder:
        for place, source in _candidates(request, near, channels):
            path = source if isinstance(source, Path) else Path(folder, request.file_name)
            try:
                if not isinstance(source, Path):
                    rattler_child.ask({"do": "download", "url": source, "to": str(path)})
                digest = _fits(path, request)
            except (OSError, ToolFailed) as error:
                tried.append(f"{place}: {str(error).strip().splitlines()[-1]}")
                continue
            if digest is not None:
                return store.add_file(path, request.file_name, expected=digest)
            tried.append(f"{place}: other bytes than the locked ones")
    where = "; ".join(tried) or "no package cache has it, and no channel is named"
    raise FetchFailed(
        f"{request.file_name} could not be fetched: {where}",
        advice="name a channel that holds it, or copy it from a package store where it is whole",
    )
