"""The conda packages of an environment as one layer: a tar rooted at `opt/env/`, equal bytes each time.

They are anyone's, so they are laid out and compiled in a container (`layer_program`); the host only checks
and writes down what comes out of it. Not here: wheels (a layer each, made in the image's build), and the
base root filesystem.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.engines import single_layer_image
from timeproof.engines.protocol import Engine, Mount, RunResult
from timeproof.engines.registry import confining_engine
from timeproof.environments.conda import layer_program
from timeproof.environments.interpreter.packing import TARGET_PREFIX
from timeproof.environments.toolbox import toolbox
from timeproof.environments.toolbox.frames import PLACE
from timeproof.environments.toolbox.tree_reading import TreeReader
from timeproof.errors import BuildFailed, DigestMismatch
from timeproof.store.package_paths import check_file_name

_UNPACKED = 16  # times its size that a package takes at most, laid out and compiled; text packs well
_BESIDE = 2**30  # bytes beside the packages' own
_MEMORY = 2 * 2**30  # bytes for the programs


@dataclass(frozen=True, slots=True)
class BaseRoot:
    """The base root filesystem that packages run on: an uncompressed tar, checked by the caller."""

    tar: Path
    sha256: Digest
    platform: str = "linux/amd64"


def conda_part(
    packages: Sequence[Path],
    out_tar: Path,
    base: BaseRoot,
    *,
    digests: Sequence[Digest] | None = None,
    engine: Engine | None = None,
) -> Digest:
    """Install conda packages as if into /opt/env and write the result as a deterministic tar.

    Args:
        packages: `.conda` or `.tar.bz2` files of one environment.
        out_tar: where the uncompressed tar goes, whole or not at all.
        base: what the container's root is.
        digests: of the packages, in the same order, where they are known.
        engine: runs the container; by default what answers.

    Returns:
        The tar's SHA-256; the same packages give the same one, whenever and wherever.

    Raises:
        LockFailed: a package can't be read, or they are for different platforms.
        BuildFailed: they can't be installed, or lay out what no environment holds.
        DigestMismatch: a package is not the one of `digests`.
        EngineMissing / EngineLost / EngineFailed.
    """
    engine = engine or confining_engine("conda packages are laid out in a container")
    image = single_layer_image.provide(engine, "timeproof/base", base.tar, base.sha256, base.platform)
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        folder = Path(scratch)
        names, size = _private_copies(packages, digests, folder / "packages")
        for name in ("toolbox", "request"):
            (folder / name).mkdir()
            (folder / name).chmod(0o755)
        tools = toolbox.prepare(folder / "toolbox")
        room = min(LIMITS.prefix_bytes, _BESIDE + _UNPACKED * size)
        with atomic.storage(out_tar), atomic.Staging(out_tar.parent, "conda-part") as staging:
            tar = staging.path / "tar"
            with tar.open("xb") as stream:
                reader = TreeReader(TARGET_PREFIX.strip("/"), stream)
                ended = tools.run(
                    engine,
                    image,
                    layer_program.__name__,
                    {"packages": names, "target_prefix": TARGET_PREFIX},
                    folder / "request",
                    reader.read,
                    mounts=(Mount(folder / "packages", f"{PLACE}/packages"),),
                    tmp_bytes=room,
                    tmp_programs=True,
                    memory=room + _MEMORY,
                    timeout=LIMITS.prefix_seconds,
                )
                if reader.refusal is not None:
                    raise reader.refusal
                if not reader.complete:
                    raise BuildFailed(f"the conda packages can't be installed: {_why(ended)}")
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(tar, out_tar)
            atomic.sync_folder(out_tar.parent)
    return reader.digest


def _private_copies(
    packages: Sequence[Path], digests: Sequence[Digest] | None, folder: Path
) -> tuple[list[str], int]:
    """Copy packages into `folder`, hashing what is copied. Returns their paths inside, and the bytes."""
    names, size = [], 0
    folder.mkdir()
    for number, path in enumerate(packages):
        name = f"{number}/{check_file_name(path.name)}"
        (folder / name).parent.mkdir()
        with path.open("rb", buffering=0) as source, (folder / name).open("xb") as sink:
            digest, length = Digest.of_stream(source, sink)
        if digests is not None and digest != digests[number]:
            raise DigestMismatch(path, digests[number], digest)
        names.append(f"{PLACE}/packages/{name}")
        size += length
    toolbox.make_readable(folder)
    return names, size


def _why(ended: RunResult) -> str:
    """Why the container said nothing to the end."""
    if ended.timed_out:
        return f"it took longer than {LIMITS.prefix_seconds:.0f} s"
    if ended.oom_killed:
        return "they need more memory than the container has"
    return ended.log.strip()[-2000:] or f"the program inside ended with exit code {ended.exit_code}"
