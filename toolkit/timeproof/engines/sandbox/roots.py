"""Unpacked images, in a cache folder of the user's: the image store of the engine `none`.

Each is named by its config digest, and lies beside an inventory of its every file, which is checked
again before the root is used. Runs nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from timeproof.base import atomic, strictjson
from timeproof.base.cachedir import cache_folder
from timeproof.base.digests import Digest
from timeproof.base.paths import open_regular
from timeproof.engines.sandbox import oci_archive
from timeproof.engines.sandbox.inventory import inventory_digest
from timeproof.engines.sandbox.process import Process
from timeproof.engines.sandbox.unpacking import Layers
from timeproof.errors import BadArchive, Malformed
from timeproof.store import oci_layout
from timeproof.store.schema.v1 import ImageIdentity

_SCRATCH = ".unpacking-"
_OLD = 86400.0  # seconds
_SOUND: set[Path] = set()  # the roots whose files this process has checked


def roots_folder() -> Path:
    """Where unpacked images lie: `timeproof/roots` in the user's cache folder."""
    return cache_folder("roots")


@dataclass(frozen=True, slots=True)
class Root:
    """One unpacked image: its files, its identity, and how it starts."""

    folder: Path
    image: ImageIdentity
    process: Process

    @property
    def files(self) -> Path:
        return self.folder / "root"


class Roots:
    """The unpacked images of one cache folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or roots_folder()

    def _names(self) -> list[str]:
        return sorted(os.listdir(self.folder)) if self.folder.is_dir() else []

    def _read(self, name: str) -> tuple[Root, str] | None:
        """A root and the digest of its inventory; None where the folder holds no root that can be read."""
        folder = self.folder / name
        try:
            note = json.loads((folder / "root.json").read_bytes())
            image = ImageIdentity.model_validate(note["image"])
            process = Process.parse(note["process"], folder)
            return Root(folder, image, process), str(note["inventory"])
        except (OSError, ValueError, KeyError, TypeError, BadArchive):
            return None

    def locate(self, image: str) -> Root | None:
        """The root whose manifest or config has that digest, checked once a process.

        A root whose files were changed since it was unpacked is removed, and counts as missing.
        """
        for name in self._names():
            match = self._read(name)
            if match is None or image not in {match[0].image.manifest, match[0].image.config}:
                continue
            root, inventory = match
            if self._is_sound(root, inventory):
                return root
            self._remove(root.folder)
            return None
        return None

    def _is_sound(self, root: Root, inventory: str) -> bool:
        """Whether its files are those that were unpacked."""
        if root.folder not in _SOUND:
            with suppress(OSError):
                if inventory_digest(root.files) == inventory:
                    _SOUND.add(root.folder)
        return root.folder in _SOUND

    def add(self, archive: Iterable[bytes]) -> None:
        """Unpack every image of an OCI archive.

        Raises:
            BadArchive: it is not an image that can be unpacked; nothing of it stays.
            StorageFailed: the disk refuses.
        """
        with atomic.storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        with self._scratch() as scratch:
            layout = scratch / "layout"
            oci_archive.lay_out(archive, layout)
            for manifest in oci_archive.manifests(layout):
                self._unpack(layout, scratch / "work", oci_layout.read_identity(layout, manifest))

    def _sweep(self) -> None:
        """Remove what killed processes left of their unpacking."""
        for path in self.folder.glob(f"{_SCRATCH}*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _OLD:
                    self._remove(path)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        path = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=self.folder))
        try:
            with atomic.storage(self.folder):
                yield path
        finally:
            self._remove(path)

    def _unpack(self, layout: Path, work: Path, image: ImageIdentity) -> None:
        config = oci_layout.read_blob(layout, image.config).get("config") or {}
        Process.parse(config, f"the image {image.config}")
        _, *layers = oci_layout.descriptors(layout, image)
        if len(layers) != len(image.diff_ids):
            raise Malformed(layout, [f"{len(layers)} layers, but {len(image.diff_ids)} diff_ids"])
        (work / "root").mkdir(parents=True)
        unpacked = Layers(work / "root")
        for (digest, _), diff_id in zip(layers, image.diff_ids, strict=True):
            with open_regular(layout, oci_layout.blob(digest)) as stream:
                unpacked.add(stream, diff_id, digest)
        (work / "root").chmod(0o755)
        note = {
            "image": image.model_dump(),
            "process": config,
            "inventory": inventory_digest(work / "root"),
        }
        (work / "root.json").write_bytes(strictjson.dumps(note))
        self._publish(work, Digest.parse(image.config).hex)

    def _publish(self, work: Path, name: str) -> None:
        target = self.folder / name
        if target.exists() and self._read(name) is None:
            self._remove(target)
        with suppress(OSError):  # another process was faster: the same config, the same files
            os.rename(work, target)
        self._remove(work)

    def drop(self, image: str) -> None:
        """Remove the root of an image, if it is there."""
        for name in self._names():
            match = self._read(name)
            if match is not None and image in {match[0].image.manifest, match[0].image.config}:
                self._remove(match[0].folder)

    def _remove(self, path: Path) -> None:
        _SOUND.discard(path)
        shutil.rmtree(path, ignore_errors=True)
