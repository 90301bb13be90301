"""Lays the layers of an OCI image over each other in a folder, as the image specification says.

Knows layers, whiteouts and compression; which image, and whether its blobs are the recorded ones, is
checked before. Python's `tarfile` only reads the headers: its extraction filters were escaped before, so
each member is made here, one name at a time below an open folder, and no link is ever followed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import zstandard

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, DigestMismatch, Limit, Malformed, UnsafePath

_PIECE = 1 << 20
_HIDES, _HIDES_ALL = ".wh.", ".wh..wh..opq"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Hashed:
    """A stream whose every byte is hashed and counted on its way through."""

    def __init__(self, stream: IO[bytes], limit: int, path: object) -> None:
        self._stream, self._limit, self._path = stream, limit, path
        self.state = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(_PIECE if size < 0 else size)
        self.state.update(data)
        self.size += len(data)
        if self.size > self._limit:
            raise Limit(self._path, f"it unpacks to more than {self._limit} bytes")
        return data


@contextmanager
def _decompressed(blob: BinaryIO) -> Iterator[IO[bytes]]:
    magic = blob.read(4)
    blob.seek(0)
    if magic == b"\x28\xb5\x2f\xfd":
        with zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True) as stream:
            yield cast("IO[bytes]", stream)
    elif magic[:2] == b"\x1f\x8b":
        with gzip.open(blob) as unzipped:
            yield cast("IO[bytes]", unzipped)
    else:
        yield blob


def _names(path: str) -> list[str]:
    """The components of a member's path. Raises UnsafePath for what leads out, or nowhere."""
    names = [name for name in path.split("/") if name not in {"", "."}]
    if path.startswith("/") or ".." in names or "\0" in path:
        raise UnsafePath(path, "it leads out of the image")
    return names


class Layers:
    """A root filesystem in the making, below `root`, which is an empty folder of our own."""

    def __init__(self, root: Path, limit: int = LIMITS.unpacked_bytes) -> None:
        self.root, self.left = root, limit

    def add(self, blob: BinaryIO, diff_id: str, path: object) -> None:
        """Lay one more layer over the others.

        Args:
            blob: the compressed layer, whose own digest was checked.
            diff_id: the digest that it must have uncompressed.
            path: for messages.

        Raises:
            DigestMismatch: it is another layer; what it left must not be used.
            UnsafePath / Malformed / Limit: a member leads out, is a device, or the whole is too large.
        """
        made: set[str] = set()
        try:
            with _decompressed(blob) as stream:
                hashed = _Hashed(stream, self.left, path)
                with tarfile.open(fileobj=cast("Any", hashed), mode="r|", bufsize=_PIECE) as tar:
                    for member in tar:
                        self._add(tar, member, made, path)
                while hashed.read(_PIECE):
                    pass
        except BadArchive:
            raise
        except (tarfile.TarError, zstandard.ZstdError, EOFError, gzip.BadGzipFile, UnicodeError) as error:
            raise Malformed(path, [f"not a layer: {error}"]) from error
        self.left -= hashed.size
        if (found := Digest(hashed.state.hexdigest())) != Digest.parse(diff_id):
            raise DigestMismatch(path, diff_id, found)

    @contextmanager
    def _folder(self, names: list[str], made: set[str]) -> Iterator[int]:
        """The open folder of these names; those that are not there are made. Follows no link."""
        at = os.open(self.root, _FOLDER)
        try:
            for depth, name in enumerate(names):
                with suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=at)
                    made.add("/".join(names[: depth + 1]))
                try:
                    below = os.open(name, _FOLDER, dir_fd=at)
                except OSError as error:
                    raise UnsafePath("/".join(names), f"{name!r} is not a folder") from error
                os.close(at)
                at = below
            yield at
        finally:
            os.close(at)

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo, made: set[str], path: object) -> None:
        names = _names(member.name)
        if not names:
            return
        *parents, name = names
        with self._folder(parents, made) as at:
            if name == _HIDES_ALL:
                self._hide_all(at, "/".join(parents), made)
                return
            if name.startswith(_HIDES):
                _names(name[len(_HIDES) :])
                _remove(name[len(_HIDES) :], at)
                return
            self._make(tar, member, name, at, path)
            made.add("/".join(names))

    def _hide_all(self, at: int, folder: str, made: set[str]) -> None:
        """Remove what lower layers put into a folder; this layer's own stays."""
        for name in os.listdir(at):
            if f"{folder}/{name}".lstrip("/") not in made:
                _remove(name, at)

    def _make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, at: int, path: object) -> None:
        mode = member.mode & 0o777  # setuid means nothing in the box
        if member.isdir():
            with suppress(FileNotFoundError):
                if not stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                    _remove(name, at)
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=at)
            folder = os.open(name, _FOLDER, dir_fd=at)
            os.fchmod(folder, mode | 0o700)
            os.close(folder)
            return
        _remove(name, at)
        if member.issym():
            os.symlink(member.linkname, name, dir_fd=at)
        elif member.islnk():
            *parents, other = _names(member.linkname) or [""]
            with self._folder(parents, set()) as source:
                if not stat.S_ISREG(os.stat(other, dir_fd=source, follow_symlinks=False).st_mode):
                    raise UnsafePath(member.linkname, "a hard link to what is not a file")
                os.link(other, name, src_dir_fd=source, dst_dir_fd=at, follow_symlinks=False)
        elif member.isreg():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, 0o600, dir_fd=at), "wb") as file:
                content = tar.extractfile(member)
                assert content is not None
                shutil.copyfileobj(content, file, _PIECE)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.utime(file.fileno(), (member.mtime, member.mtime))
        else:
            raise Malformed(path, [f"{member.name} is neither file, folder nor link"])


def _remove(name: str, at: int) -> None:
    """Remove what has that name in the open folder, if anything has; a folder with all below it."""
    try:
        os.unlink(name, dir_fd=at)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(name, dir_fd=at)
