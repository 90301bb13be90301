"""Lays the layers of an OCI image over each other in a folder, as the image specification says.

Knows layers, whiteouts and compression; which image, and whether its blobs are the recorded ones, is
checked before. Python's `tarfile` only reads the headers: its extraction filters were escaped before, so
each member is made here, one name at a time below an open folder, and no link is ever followed.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import zstandard

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, DigestMismatch, Limit, Malformed, UnsafePath

_PIECE = 1 << 20
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH_BYTES = 4096 - 1024  # of a member's path: the kernel's longest, less room for the folder of the root
_DEPTH = 256  # folders within each other: Python removes them by recursion
# What the kernel says of a member that can't be made on any disk.
_MEMBER_ERRORS = {
    errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.EMLINK, errno.ENAMETOOLONG, errno.ENOENT,
    errno.ENOTDIR, errno.EOVERFLOW,
}  # fmt: skip
# What Python's readers raise for bytes that are not in their format.
_FORMAT_ERRORS = (
    tarfile.TarError,
    zstandard.ZstdError,
    zlib.error,
    EOFError,
    gzip.BadGzipFile,
    ValueError,  # UnicodeError among them
    OverflowError,
    RecursionError,
)


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
    """The components of a member's path. Raises UnsafePath for what leads out; Limit."""
    names = [name for name in path.split("/") if name not in {"", "."}]
    if path.startswith("/") or ".." in names or "\0" in path:
        raise UnsafePath(path, "it leads out of the image")
    if len(os.fsencode(path)) > _PATH_BYTES or len(names) > _DEPTH:
        raise Limit(f"{path[:80]}…", f"a path has more than {_PATH_BYTES} bytes or {_DEPTH} folders")
    return names


class Layers:
    """A root filesystem in the making, below `root`, which is an empty folder of our own."""

    def __init__(self, root: Path, limit: int = LIMITS.unpacked_bytes) -> None:
        self.root, self.remaining = root, limit  # bytes that further layers may have

    def add(self, blob: BinaryIO, diff_id: str, path: object) -> None:
        """Lay one more layer over the others.

        Args:
            blob: the compressed layer, whose own digest was checked.
            diff_id: the digest that it must have uncompressed.
            path: for messages.

        Raises:
            DigestMismatch: it is another layer; what was unpacked of it must not be used.
            UnsafePath / Malformed / Limit: a member leads out, can't be made, or the whole is too large.
            OSError: the disk refuses.
        """
        try:
            with _decompressed(blob) as stream:
                hashed = _Hashed(stream, self.remaining, path)
                with tarfile.open(fileobj=cast("Any", hashed), mode="r|", bufsize=_PIECE) as tar:
                    layer = _Layer(self.root, tar, path)
                    for member in tar:
                        layer.add(member)
                while hashed.read(_PIECE):
                    pass
        except BadArchive:
            raise
        except _FORMAT_ERRORS as error:
            raise Malformed(path, [f"not a layer: {error}"]) from error
        self.remaining -= hashed.size
        if (actual := Digest(hashed.state.hexdigest())) != Digest.parse(diff_id):
            raise DigestMismatch(path, diff_id, actual)


class _Layer:
    """One layer while it is laid over what the root holds."""

    def __init__(self, root: Path, tar: tarfile.TarFile, path: object) -> None:
        self._root, self._tar, self._path = root, tar, path
        self._paths: set[str] = set()  # of this layer, so that its own whiteouts spare them

    def add(self, member: tarfile.TarInfo) -> None:
        """Make what the member says. Raises UnsafePath, Malformed, Limit; OSError where the disk refuses."""
        names = _names(member.name)
        if not names:
            return
        *parents, name = names
        try:
            with self._folder(parents) as folder:
                if name == _OPAQUE:
                    self._hide_all(folder, "/".join(parents))
                elif name.startswith(_WHITEOUT):
                    _remove(_hidden_name(name), folder)
                else:
                    self._make(member, name, folder)
                    self._paths.add("/".join(names))
        except OSError as error:
            if error.errno not in _MEMBER_ERRORS:
                raise
            raise self._malformed(member, f"can't be made: {error.strerror}") from error

    def _malformed(self, member: tarfile.TarInfo, problem: str) -> Malformed:
        return Malformed(self._path, [f"{member.name[:200]} {problem}"])

    @contextmanager
    def _folder(self, names: list[str], *, make: bool = True) -> Iterator[int]:
        """The open folder of these names; those that are missing are made. Follows no link."""
        folder = os.open(self._root, _FOLDER)
        try:
            for depth, name in enumerate(names):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o755, dir_fd=folder)
                        self._paths.add("/".join(names[: depth + 1]))
                try:
                    below = os.open(name, _FOLDER, dir_fd=folder)
                except OSError as error:
                    raise UnsafePath("/".join(names), f"{name!r} is not a folder") from error
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)

    def _hide_all(self, folder: int, path: str) -> None:
        """Remove what lower layers put into a folder; this layer's own stays."""
        for name in os.listdir(folder):
            if f"{path}/{name}".lstrip("/") not in self._paths:
                _remove(name, folder)

    def _make(self, member: tarfile.TarInfo, name: str, folder: int) -> None:
        if member.isdir():
            _make_folder(member, name, folder)
        elif member.issym():
            self._make_symbolic_link(member, name, folder)
        elif member.islnk():
            self._make_hard_link(member, name, folder)
        elif member.isreg() and not member.issparse():  # a sparse file's size is not bounded by the layer's
            self._make_file(member, name, folder)
        else:
            raise self._malformed(member, "is neither a plain file, a folder nor a link")

    def _make_symbolic_link(self, member: tarfile.TarInfo, name: str, folder: int) -> None:
        if not member.linkname or "\0" in member.linkname:
            raise self._malformed(member, f"links to {member.linkname!r}")
        _remove(name, folder)
        os.symlink(member.linkname, name, dir_fd=folder)

    def _make_hard_link(self, member: tarfile.TarInfo, name: str, folder: int) -> None:
        target = _names(member.linkname)
        if not target or target == _names(member.name):
            raise self._malformed(member, f"is a hard link to {member.linkname[:200]!r}")
        with self._folder(target[:-1], make=False) as source:
            try:
                mode = os.stat(target[-1], dir_fd=source, follow_symlinks=False).st_mode
            except FileNotFoundError:
                raise self._malformed(member, f"is a hard link to {member.linkname[:200]!r}") from None
            if not stat.S_ISREG(mode):
                raise UnsafePath(member.linkname, "a hard link to what is not a file")
            _remove(name, folder)
            os.link(target[-1], name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)

    def _make_file(self, member: tarfile.TarInfo, name: str, folder: int) -> None:
        _remove(name, folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
            content = self._tar.extractfile(member)
            assert content is not None
            shutil.copyfileobj(content, file, _PIECE)
            file.flush()
            os.fchmod(file.fileno(), _mode(member))
            try:
                os.utime(file.fileno(), (member.mtime, member.mtime))
            except (ValueError, OverflowError) as error:
                raise self._malformed(member, f"has the time {member.mtime}") from error


def _mode(member: tarfile.TarInfo) -> int:
    return member.mode & 0o777  # setuid means nothing in the sandbox


def _make_folder(member: tarfile.TarInfo, name: str, parent: int) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            _remove(name, parent)
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    folder = os.open(name, _FOLDER, dir_fd=parent)
    os.fchmod(folder, _mode(member) | 0o700)
    os.close(folder)


def _hidden_name(whiteout: str) -> str:
    """The one name that a whiteout hides. Raises UnsafePath for what is no name in its own folder."""
    name = whiteout.removeprefix(_WHITEOUT)
    if name in {"", ".", ".."}:
        raise UnsafePath(whiteout, "it hides no file of its own folder")
    return name


def _remove(name: str, folder: int) -> None:
    """Remove what has that name in the open folder, if anything has; a folder with all below it."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(name, dir_fd=folder)
