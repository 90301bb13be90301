"""Which files make the probe of an environment: the program, and the loaders of the frameworks that it holds.

The same environment gets the same probe, whatever else is installed beside this toolkit. No engine here.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

import timeproof_probe
from timeproof.base.clock import EPOCH
from timeproof.base.digests import Digest
from timeproof.environments.lock.document import Lock
from timeproof.frameworks import registry
from timeproof.frameworks.spec import FrameworkSpec

PROBE = "/opt/timeproof/probe"
# Not -I: it would ignore PYTHONHASHSEED, and the order of sets is part of an answer.
ENTRYPOINT = ("/opt/env/bin/python3", "-s", "-B", PROBE)
_PACKAGE = "timeproof_probe"


def select_loaders(package_names: Iterable[str], frameworks: Iterable[FrameworkSpec]) -> dict[str, Path]:
    """Give the loaders' folders of those frameworks that a lock's packages bring.

    Args:
        package_names: of the lock's packages, from an index or a channel.
        frameworks: all that this toolkit knows, those of plugins included.
    """
    names = {canonicalize_name(name) for name in package_names}
    return {
        spec.name: spec.probe
        for spec in frameworks
        if spec.probe is not None
        and any(canonicalize_name(name) in names for name in spec.distributions)
        and all(canonicalize_name(name) in names for name in spec.needs)
    }


def gather_probe(loaders: Mapping[str, Path]) -> dict[str, bytes]:
    """Read the files of a probe, by their path below `/opt/timeproof/probe`, sorted.

    Args:
        loaders: framework → the folder of its loader.
    """
    package = Path(timeproof_probe.__file__).parent
    sources = {f"{_PACKAGE}/{path.relative_to(package).as_posix()}": path for path in package.rglob("*.py")}
    sources["__main__.py"] = package / "__main__.py"  # so that Python can run the folder
    for framework, folder in loaders.items():
        for path in folder.glob("*.py"):
            sources[f"{_PACKAGE}/loaders/{framework}/{path.name}"] = path
    return {name: sources[name].read_bytes() for name in sorted(sources)}


def pack_probe(files: Mapping[str, bytes]) -> bytes:
    """Pack the files as a tar, rooted at `/`: equal files give equal bytes."""
    root = PROBE.strip("/")
    contents = {f"{root}/{name}": data for name, data in files.items()}
    folders = {str(parent) for name in contents for parent in Path(name).parents if parent != Path()}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(folders | contents.keys()):
            info = tarfile.TarInfo(name)
            info.mtime = EPOCH
            if name in contents:
                info.size, info.mode = len(contents[name]), 0o644
                tar.addfile(info, io.BytesIO(contents[name]))
            else:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
    return stream.getvalue()


def present_probe(lock: Lock) -> bytes:
    """The tar of the probe that an environment with this lock's packages gets if it is made now."""
    names = (package.name for package in lock.packages)
    return pack_probe(gather_probe(select_loaders(names, registry.specs())))


def holds_present_probe(lock: Lock) -> bool:
    """Say whether the environment of this lock holds the probe that it would get now, not an older one."""
    return lock.probe == Digest.of(present_probe(lock))
