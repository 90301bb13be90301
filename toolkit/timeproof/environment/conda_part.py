"""The conda packages of an environment as one layer: a tar rooted at `opt/env/`, equal bytes each time.

Not here: wheels (a layer each, made in the image's build), and the base root filesystem.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from timeproof import atomic, proc
from timeproof.digests import Digest
from timeproof.environment import compile_library, rattler_child
from timeproof.environment.conda_format import EPOCH, read_info, tar_entry
from timeproof.environment.interpreter import TARGET_PREFIX
from timeproof.errors import BuildFailed, LockFailed, ToolFailed

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


def _subdir(indexes: Sequence[dict[str, Any]]) -> str:
    found = {str(index.get("subdir", "noarch")) for index in indexes}
    platforms = found - {"noarch"}
    if len(platforms) != 1:
        raise LockFailed(
            f"the conda packages are for {', '.join(sorted(found)) or 'no'} platforms, not for one"
        )
    return platforms.pop()


def _tidy_metadata(prefix: Path) -> None:
    """Rewrite conda-meta without host paths, times and places; drop the installer's other droppings."""
    meta = prefix / "conda-meta"
    for path in sorted(meta.iterdir()):
        if path.suffix != ".json":
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            continue
        record = json.loads(path.read_bytes())
        kept = {key: record[key] for key in _RECORD_KEYS if record.get(key) is not None}
        if "files" in kept:
            kept["files"] = sorted(kept["files"])
        if "paths_data" in kept:
            kept["paths_data"]["paths"].sort(key=lambda row: row["_path"])
        path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    (meta / "history").write_bytes(b"")  # conda knows an environment by it
    (prefix / "CACHEDIR.TAG").unlink(missing_ok=True)
    shutil.rmtree(prefix / ".trash", ignore_errors=True)


def _compile(prefix: Path, subdir: str) -> None:
    """Replace whatever .pyc the packages brought: theirs carry the times of files that we give another."""
    for cache in sorted(prefix.glob("lib*/python*/**/__pycache__")):
        shutil.rmtree(cache)
    python = prefix / "bin" / "python3"
    # An interpreter for another machine can't compile here: its image does without, and is only slower.
    if _ARCHES.get(subdir) != platform.machine() or sys.platform != "linux" or not python.exists():
        return
    library = prefix / "lib" / os.path.basename(os.path.realpath(python))
    for here, _, names in os.walk(library):
        for name in names:
            os.utime(os.path.join(here, name), (EPOCH, EPOCH), follow_symlinks=False)
    # A fixed hash seed orders the sets among the constants; -I would ignore it.
    env = {"PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    shown = f"{TARGET_PREFIX}/{library.relative_to(prefix)}"
    script = Path(compile_library.__file__)
    argv: list[str | Path] = [python, "-S", "-s", "-B", "-W", "ignore", script, library, shown]
    proc.run(argv, env=env, cwd=prefix, timeout=300.0)


class _Hashing:
    """A sink that hashes what goes through it."""

    def __init__(self, sink: BinaryIO) -> None:
        self.sink, self.state = sink, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.state.update(data)
        return self.sink.write(data)


def write_tree(root: Path, below: str, out: BinaryIO) -> Digest:
    """Write the tree `root` to `out` as an uncompressed tar in which it is called `below`, such as `opt/env`.

    Sorted; no owners, no times but 1980-01-01, modes 0755 and 0644, links kept as links.
    """
    sink = _Hashing(out)
    with tarfile.open(fileobj=cast(BinaryIO, sink), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        parts = below.split("/")
        for depth in range(1, len(parts) + 1):
            tar.addfile(tar_entry("/".join(parts[:depth]), kind=tarfile.DIRTYPE))
        for path in sorted(root.rglob("*")):
            name = f"{below}/{path.relative_to(root).as_posix()}"
            if path.is_symlink():
                info = tar_entry(name, kind=tarfile.SYMTYPE)
                info.linkname = os.readlink(path)
                tar.addfile(info)
            elif path.is_dir():
                tar.addfile(tar_entry(name, kind=tarfile.DIRTYPE))
            else:
                status = path.stat()
                with path.open("rb") as stream:
                    info = tar_entry(name, size=status.st_size, executable=bool(status.st_mode & 0o100))
                    tar.addfile(info, stream)
    return Digest(sink.state.hexdigest())


def conda_part(packages: Sequence[Path], out_tar: Path) -> Digest:
    """Install conda packages as if into /opt/env and write the result as a deterministic tar.

    Args:
        packages: `.conda` or `.tar.bz2` files of one environment, verified by the caller.
        out_tar: where the uncompressed tar goes, whole or not at all.

    Returns:
        The tar's SHA-256; the same packages give the same one, whenever and wherever.

    Raises:
        LockFailed: a package can't be read, or they are for different platforms.
        BuildFailed: they can't be installed.
    """
    indexes = [read_info(p, "info/index.json")["info/index.json"] for p in packages]
    subdir = _subdir(indexes)
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        prefix = Path(scratch, "prefix")
        asked = {
            "do": "install",
            "indexes": indexes,
            "packages": [os.path.abspath(p) for p in packages],
            "prefix": str(prefix),
            "target_prefix": TARGET_PREFIX,
            "cache": str(Path(scratch, "cache")),
            "subdir": subdir,
        }
        try:
            rattler_child.ask(asked)
            _tidy_metadata(prefix)
            _compile(prefix, subdir)
        except ToolFailed as error:
            raise BuildFailed(f"the conda packages can't be installed: {error.message}") from error
        with atomic.storage(out_tar), atomic.Staging(out_tar.parent, "conda-part") as staging:
            made = staging.path / "tar"
            with made.open("xb") as stream:
                digest = write_tree(prefix, TARGET_PREFIX.strip("/"), stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(made, out_tar)
            atomic.sync_folder(out_tar.parent)
    return digest
