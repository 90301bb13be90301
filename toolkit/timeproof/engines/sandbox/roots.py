"""Unpacked images, in a cache folder of the user's: the image store of the engine `none`.

Each is named by its config digest, and lies beside an inventory of its every file, which is gone through
again before the root is used. Runs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from timeproof.base import atomic, strictjson
from timeproof.base.cachedir import cache_folder
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import open_regular
from timeproof.engines.sandbox.unpacking import Layers
from timeproof.errors import BadArchive, DigestMismatch, EngineFailed, Malformed
from timeproof.store import oci_layout
from timeproof.store.schema.v1 import ImageIdentity

_PIECE = 1 << 20
_SCRATCH = ".unpacking-"
_OLD = 86400.0  # seconds
_SOUND: set[Path] = set()  # the roots whose files this process has gone through


def roots_folder() -> Path:
    """Where roots are kept: `timeproof/roots` in the user's cache folder."""
    return cache_folder("roots")


@dataclass(frozen=True, slots=True)
class Root:
    """One unpacked image. `process`: what its config says of entry point, command and variables."""

    folder: Path
    image: ImageIdentity
    process: dict[str, Any]

    @property
    def files(self) -> Path:
        return self.folder / "root"


class _Pieces:
    """A stream of the pieces that somebody hands out."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._held) < size and (piece := next(self._pieces, b"")):
            self._held += piece
        data, self._held = self._held[:size], self._held[size:]
        return data


def _spool(archive: Iterable[bytes], layout: Path) -> None:
    """Lay an OCI archive out as a folder; each blob must be what its name says."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    with tarfile.open(fileobj=cast("Any", _Pieces(archive)), mode="r|", bufsize=_PIECE) as tar:
        for member in tar:
            if member.isdir():
                continue
            name = member.name.removeprefix("./")
            *folder, last = name.split("/")
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None or folder not in ([], ["blobs", "sha256"]) or last in {"", ".", ".."}:
                raise Malformed(name, ["it belongs to no OCI archive"])
            state = hashlib.sha256()
            with (layout / name).open("xb") as file:
                while piece := stream.read(_PIECE):
                    state.update(piece)
                    file.write(piece)
            if folder and state.hexdigest() != last:
                raise DigestMismatch(name, Digest(last), Digest(state.hexdigest()))


def _manifests(layout: Path) -> Iterator[str]:
    path = layout / "index.json"
    with open_regular(layout, path.name) as stream:
        told = strictjson.loads(stream.read(LIMITS.json_bytes + 1), path)
    try:
        for entry in told["manifests"]:
            yield str(Digest.parse(str(entry["digest"])))
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(path, [f"not an image index: {error}"]) from error


def _inventory(root: Path) -> list[tuple[str, str]]:
    """Every file, folder and link below `root`: (path, what it is). Follows no link."""
    names = []
    stack = [root]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                names.append(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    stack.append(Path(entry.path))
    names.sort()
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing lets go of Python's lock
        return list(zip((n[len(str(root)) + 1 :] for n in names), pool.map(_what, names), strict=True))


def _what(path: str) -> str:
    told = os.lstat(path)
    mode = f"{stat.S_IMODE(told.st_mode):o}"
    if stat.S_ISLNK(told.st_mode):
        return f"link {os.readlink(path)}"
    if stat.S_ISDIR(told.st_mode):
        return f"folder {mode}"
    if not stat.S_ISREG(told.st_mode):
        return f"special {told.st_mode:o}"
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as file:
        return f"file {mode} {hashlib.file_digest(file, 'sha256').hexdigest()}"


def _inventory_digest(root: Path) -> str:
    listing = json.dumps(_inventory(root), ensure_ascii=True)
    return Digest.of(listing.encode()).hex


class Roots:
    """The unpacked images of one cache folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or roots_folder()

    def _read(self, name: str) -> tuple[Root, str] | None:
        folder = self.folder / name
        try:
            told = json.loads((folder / "root.json").read_bytes())
            image = ImageIdentity.model_validate(told["image"])
            return Root(folder, image, told["process"]), str(told["inventory"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def locate(self, image: str) -> Root | None:
        """The root whose manifest or config has that digest, gone through once a process.

        One whose files are not what was unpacked is removed, and None.
        """
        names = sorted(os.listdir(self.folder)) if self.folder.is_dir() else []
        for name in names:
            found = self._read(name)
            if found is None or image not in {found[0].image.manifest, found[0].image.config}:
                continue
            root, inventory = found
            if not self._sound(root, inventory):
                self._remove(root.folder)
                return None
            return root
        return None

    def _sound(self, root: Root, inventory: str) -> bool:
        """Whether its files are what was unpacked."""
        if root.folder not in _SOUND:
            with suppress(OSError):
                if _inventory_digest(root.files) == inventory:
                    _SOUND.add(root.folder)
        return root.folder in _SOUND

    def add(self, archive: Iterable[bytes]) -> None:
        """Unpack every image of an OCI archive. Raises EngineFailed for what is none."""
        with atomic.storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        with self._scratch() as scratch:
            try:
                _spool(archive, scratch)
                for manifest in list(_manifests(scratch)):
                    self._unpack(scratch, oci_layout.read_identity(scratch, manifest))
            except (BadArchive, tarfile.TarError, EOFError) as error:
                raise EngineFailed(f"it is no image that can be unpacked: {error}") from error

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

    def _unpack(self, layout: Path, image: ImageIdentity) -> None:
        config = oci_layout.read_blob(layout, image.config)
        _, *layers = oci_layout.descriptors(layout, image)
        if len(layers) != len(image.diff_ids):
            raise Malformed(layout, [f"{len(layers)} layers, but {len(image.diff_ids)} diff_ids"])
        making = layout / "made"
        (making / "root").mkdir(parents=True)
        laid = Layers(making / "root")
        for (digest, _), diff_id in zip(layers, image.diff_ids, strict=True):
            with open_regular(layout, oci_layout.blob(digest)) as stream:
                laid.add(stream, diff_id, digest)
        (making / "root").chmod(0o755)
        noted = {
            "image": image.model_dump(),
            "process": config.get("config") or {},
            "inventory": _inventory_digest(making / "root"),
        }
        (making / "root.json").write_bytes(strictjson.dumps(noted))
        name = Digest.parse(image.config).hex
        target = self.folder / name
        if target.exists() and self._read(name) is None:
            self._remove(target)
        with suppress(OSError):  # another process was faster: the same config, the same files
            os.rename(making, target)
        self._remove(making)

    def drop(self, image: str) -> None:
        for name in sorted(os.listdir(self.folder)) if self.folder.is_dir() else []:
            found = self._read(name)
            if found is not None and image in {found[0].image.manifest, found[0].image.config}:
                self._remove(found[0].folder)

    def _remove(self, path: Path) -> None:
        _SOUND.discard(path)
        shutil.rmtree(path, ignore_errors=True)
