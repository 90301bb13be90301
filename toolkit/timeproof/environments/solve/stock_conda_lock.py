"""Runs the stock `conda-lock lock`, with all that it would otherwise look for.

It runs in a container. It is given our stand-in for conda, pip's own indexes, an empty table of names, and
what the image will offer to a solver. Nothing is pinned or fetched here.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from timeproof.base import proc
from timeproof.base.paths import open_regular
from timeproof.base.strictjson import dumps
from timeproof.engines.protocol import Engine, Mount
from timeproof.environments.lock.strict_yaml import load_yaml
from timeproof.environments.solve.allowed import NOTHING, Allowed, addresses, local_channel
from timeproof.environments.solve.container import solve_in_container
from timeproof.environments.toolbox import toolbox
from timeproof.environments.toolbox.frames import PLACE
from timeproof.errors import BadArchive, LockFailed

_INDEX = "repodata.json"
_TAKEN = {"timeproof", "proc", "dev", "sys"}  # folders of the container's own
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


def _channel_copies(channels: Sequence[str], platforms: Sequence[str], folder: Path) -> list[Mount]:
    """Copies of the indexes of channels on this machine, and of nothing else that lies there."""
    mounts = []
    for number, path in enumerate(filter(None, map(local_channel, channels))):
        if path.split("/")[1] in _TAKEN or path.rstrip("/") in {"", "/tmp", "/tmp/work"}:  # noqa: S108  the container's
            raise LockFailed(f"the channel {path} can't be shown to the solver", advice="move it elsewhere")
        copy = folder / f"channel-{number}"
        for name in dict.fromkeys([*platforms, "noarch"]):
            try:
                stream = open_regular(Path(path), f"{name}/{_INDEX}")
            except (BadArchive, OSError):
                continue
            (copy / name).mkdir(parents=True)
            with stream, (copy / name / _INDEX).open("xb") as sink:
                shutil.copyfileobj(stream, sink)
        if copy.is_dir():
            toolbox.make_readable(copy)
            mounts.append(Mount(copy, path.rstrip("/")))
    return mounts


def _rattler_configuration() -> dict[str, Path]:
    """The user's own mirrors of channels. Credentials stay here."""
    roots = [os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "/etc"]
    for root in roots:
        path = Path(root, "rattler", "config.toml")
        if path.is_file():
            return {"config/rattler/config.toml": path}
    return {}


def run_conda_lock(
    source: Path,
    data: bytes,
    wanted: Mapping[str, Any],
    platforms: Sequence[str],
    *,
    allowed: Allowed = NOTHING,
    engine: Engine | None = None,
) -> Any:
    """Run the stock command in a container; return what it wrote, parsed.

    Args:
        data: the bytes of `source`, which were checked; `wanted` are their fields.

    Raises LockFailed with its own words, and what `solve_in_container` raises.
    """
    settings = {} if "pip-repositories" in wanted else _index_settings()
    configured = [str(url) for url in cast("list[object]", settings.get("pip-repositories") or [])]
    configured += addresses(wanted)
    settings = {k: v for k, v in settings.items() if k not in wanted}
    # YAML holds JSON.
    extra = "".join(f"{key}: {_yaml(value)}\n" for key, value in settings.items())
    virtual = source.parent / "virtual-packages.yml"  # the name that conda-lock looks for
    request = {
        "do": "conda-lock",
        "environment": data.decode("utf-8").rstrip() + "\n" + extra,
        "platforms": list(platforms),
        "virtual": virtual.read_text("utf-8") if virtual.exists() else _yaml(_virtual_packages(platforms)),
    }
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        try:
            answer = solve_in_container(
                request,
                files=_rattler_configuration(),
                mounts=_channel_copies(wanted.get("channels") or [], platforms, Path(scratch)),
                env={"XDG_CONFIG_HOME": f"{PLACE}/request/config"},
                configured=configured,
                allowed=allowed,
                engine=engine,
            )
        except LockFailed as error:
            raise LockFailed(
                f"conda-lock found no lock for {source}:\n{error.message}",
                advice=error.advice or "check the channels, names and versions in environment.yml",
            ) from error
    return load_yaml(answer, "conda-lock.yml")


def _yaml(value: object) -> str:
    return " ".join(dumps(value).decode().split())
