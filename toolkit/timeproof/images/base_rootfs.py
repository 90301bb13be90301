"""The base root filesystem, made of the packages of this machine's own release, and put into the store."""

from __future__ import annotations

import platform
import tempfile
import threading
from pathlib import Path

from timeproof.base import proc
from timeproof.base.digests import Digest
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import BuildFailed, ToolFailed, ToolMissing
from timeproof.images.resources import image_file
from timeproof.store.packages import PackageStore
from timeproof.store.schema.v1 import PackageEntry

_ADVICE = "run 'make engine' (it installs mmdebstrap on Debian and Ubuntu)"


_bases: dict[tuple[Path, str], PackageEntry] = {}
_bases_lock = threading.Lock()


def _release() -> tuple[str, str]:
    release = platform.freedesktop_os_release()
    return release.get("VERSION_CODENAME", "unknown"), release.get("VERSION_ID", "unknown")


def shared_base(store: PackageStore, progress: Progress = SILENT) -> PackageEntry:
    """The base of this process, made once: environments that are built together share it."""
    key = (store.root.resolve(), image_file("base/packages.txt").read_text(encoding="utf-8"))
    with _bases_lock:
        base = _bases.get(key)
        if base is None or not store.has(Digest(base.sha256), base.file):
            base = _bases[key] = make_base(store, progress)
        return base


def make_base(store: PackageStore, progress: Progress = SILENT) -> PackageEntry:
    """Make the base root filesystem, and put it into the store. Takes 5 to 15 s, and the apt mirror.

    The same packages give the same bytes.

    Raises BuildFailed where this machine can't make one, ToolMissing where mmdebstrap is not there.
    """
    codename, version = _release()
    progress.step(f"Making the base root filesystem ({codename})")
    try:
        proc.run(["mmdebstrap", "--version"], timeout=60.0, advice=_ADVICE)
    except ToolFailed as error:
        raise ToolMissing("mmdebstrap", advice=_ADVICE) from error
    name = f"base-{codename}-{platform.machine()}.tar"
    with tempfile.TemporaryDirectory(prefix="timeproof-base-") as scratch:
        tar = Path(scratch) / name
        try:
            proc.run(["sh", image_file("base/make.sh"), tar], timeout=900.0, on_line=progress.detail)
        except ToolFailed as error:
            raise BuildFailed(
                f"the base root filesystem can't be made:\n{error.tail}",
                advice="see that 'apt-get update' works on this machine, then try again",
            ) from error
        digest = store.add_file(tar, name)
        return PackageEntry(
            kind="base",
            name=f"base-{codename}",
            version=version,
            file=name,
            size=tar.stat().st_size,
            sha256=digest.hex,
        )
