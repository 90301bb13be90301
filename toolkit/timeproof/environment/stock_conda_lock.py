"""Running the stock `conda-lock lock`, with what it needs to work without looking around.

It is given a conda (a real one, or our stand-in), pip's own indexes, an empty table of names, and what
the image will offer to a solver. Its answer is taken as it is; nothing is pinned or fetched here.
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

from timeproof import proc
from timeproof.environment import conda_shim
from timeproof.environment.lock_reading import load_yaml
from timeproof.errors import LockFailed, ToolFailed
from timeproof.progress import Progress
from timeproof.strictjson import dumps

_REAL = ("conda", "mamba", "micromamba")
_BASE_GLIBC = "2.36"  # of the base image (Debian 12); conda-lock itself would assume 2.28


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


def run_conda_lock(
    source: Path, wanted: Mapping[str, Any], platforms: Sequence[str], progress: Progress
) -> Any:
    """Run the stock command; return what it wrote, parsed. Raises LockFailed with its own words."""
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
    return " ".join(dumps(value).decode().split())
