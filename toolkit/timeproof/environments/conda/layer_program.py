"""Installs conda packages and compiles their library, inside a container: the program of `conda.layer`.

Nothing here is run on the host. py-rattler lays the packages out; then the packages' own interpreter, which
may be anyone's, compiles.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from timeproof.base import proc
from timeproof.base.clock import EPOCH
from timeproof.environments.conda import compile_library, rattler_child
from timeproof.environments.conda.package_format import read_info
from timeproof.environments.toolbox import frames
from timeproof.errors import LockFailed

# What of a conda-meta record says something about the package, and not about this machine or this moment.
_RECORD_KEYS = (
    "arch", "build", "build_number", "constrains", "depends", "fn", "license", "md5", "name", "noarch",
    "platform", "sha256", "size", "subdir", "version", "files", "paths_data",
)  # fmt: skip
_ARCHES = {
    "linux-64": "x86_64",
    "linux-aarch64": "aarch64",
    "linux-ppc64le": "ppc64le",
    "linux-s390x": "s390x",
}
_COMPILE_SECONDS = 300.0


def _subdir(indexes: Sequence[dict[str, Any]]) -> str:
    subdirs = {str(index.get("subdir", "noarch")) for index in indexes}
    platforms = subdirs - {"noarch"}
    if len(platforms) != 1:
        raise LockFailed(
            f"the conda packages are for {', '.join(sorted(subdirs)) or 'no'} platforms, not for one"
        )
    return platforms.pop()


def _tidy_metadata(prefix: Path) -> None:
    """Rewrite conda-meta without host paths, times and places; remove the installer's other files."""
    meta = prefix / "conda-meta"
    for path in sorted(meta.iterdir()):
        if path.suffix != ".json":
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            continue
        record = json.loads(path.read_bytes())
        tidy = {key: record[key] for key in _RECORD_KEYS if record.get(key) is not None}
        if "files" in tidy:
            tidy["files"] = sorted(tidy["files"])
        if "paths_data" in tidy:
            tidy["paths_data"]["paths"].sort(key=lambda row: row["_path"])
        path.write_text(json.dumps(tidy, indent=1, sort_keys=True) + "\n")
    (meta / "history").write_bytes(b"")  # conda knows an environment by it
    (prefix / "CACHEDIR.TAG").unlink(missing_ok=True)
    shutil.rmtree(prefix / ".trash", ignore_errors=True)


def _compile(prefix: Path, subdir: str, target_prefix: str) -> None:
    """Replace the .pyc files of the packages: they hold the times of the sources, which become other ones."""
    for cache in sorted(prefix.glob("lib*/python*/**/__pycache__")):
        shutil.rmtree(cache)
    python = prefix / "bin" / "python3"
    # An interpreter for another machine can't compile here: its image does without, and is only slower.
    if _ARCHES.get(subdir) != platform.machine() or not python.exists():
        return
    library = prefix / "lib" / os.path.basename(os.path.realpath(python))
    for folder, _, names in os.walk(library):
        for name in names:
            os.utime(os.path.join(folder, name), (EPOCH, EPOCH), follow_symlinks=False)
    # A fixed hash seed orders the sets among the constants; -I would ignore it.
    env = {"PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    name_in_image = f"{target_prefix}/{library.relative_to(prefix)}"
    script = Path(compile_library.__file__)
    argv: list[str | Path] = [python, "-S", "-s", "-B", "-W", "ignore", script, library, name_in_image]
    proc.run(argv, env=env, cwd=prefix, timeout=_COMPILE_SECONDS)


def work(request: dict[str, Any], out: BinaryIO) -> None:
    """Install `packages` (paths inside) as if into `target_prefix`; send the tree."""
    packages = [Path(p) for p in request["packages"]]
    indexes = [read_info(p, "info/index.json")["info/index.json"] for p in packages]
    subdir = _subdir(indexes)
    scratch = Path("/tmp")  # noqa: S108  the container's own
    prefix, cache = scratch / "prefix", scratch / "cache"
    installation = {
        "indexes": indexes,
        "packages": [str(p) for p in packages],
        "prefix": str(prefix),
        "target_prefix": request["target_prefix"],
        "cache": str(cache),
        "subdir": subdir,
    }
    asyncio.run(rattler_child.install(installation))
    _tidy_metadata(prefix)
    _compile(prefix, subdir, request["target_prefix"])
    frames.put_tree(prefix, out)


if __name__ == "__main__":
    frames.answer(work, (LockFailed,))
