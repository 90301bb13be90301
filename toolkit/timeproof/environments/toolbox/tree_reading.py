"""The tree that a container sends, checked frame by frame and written as a tar.

Nothing of it is trusted. Names must be plain, relative and in order, each below a folder that came
before it; there are files, folders and links, and all of them are bounded. Nothing is written but the tar.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from typing import BinaryIO, NoReturn, cast

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS, Limits
from timeproof.engines.protocol import ReadExactly
from timeproof.environments.conda.package_format import tar_entry
from timeproof.environments.toolbox import frames
from timeproof.errors import BuildFailed, LockFailed

_PIECE = 1 << 20
_LINK_BYTES = 4096  # bytes of where a link leads
_MESSAGE_BYTES = 1 << 16
_FORBIDDEN = ".wh."  # in an image's layer such a name means that another is removed


class _Hashing:
    """A sink that hashes what goes through it."""

    def __init__(self, sink: BinaryIO) -> None:
        self.sink, self.state = sink, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.state.update(data)
        return self.sink.write(data)


class _Content:
    """The content of one frame, read to its length and no further."""

    def __init__(self, read: ReadExactly, size: int) -> None:
        self._read, self._remaining = read, size

    def read(self, size: int = -1) -> bytes:
        wanted = min(size if size >= 0 else _PIECE, self._remaining)
        self._remaining -= wanted
        return self._read(wanted) if wanted else b""


class TreeReader:
    """Reads one tree into a tar, in which it lies below `below`, such as `opt/env`.

    The tar has no owners, no times but 1980-01-01, modes 0755 and 0644: equal trees give equal bytes.
    """

    def __init__(self, below: str, out: BinaryIO, limits: Limits = LIMITS) -> None:
        self._below, self._sink, self._limits = below, _Hashing(out), limits
        self._folders: set[tuple[str, ...]] = {()}
        self._last: tuple[str, ...] = ()
        self._entries = self._bytes = 0
        self.complete = False
        self.refusal: LockFailed | BuildFailed | None = None  # what the program inside said instead

    @property
    def digest(self) -> Digest:
        return Digest(self._sink.state.hexdigest())

    def read(self, read: ReadExactly) -> None:
        """Read frames until the last. Raises BuildFailed, LockFailed; EOFError where they end too early."""
        with tarfile.open(fileobj=cast(BinaryIO, self._sink), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            tar.copybufsize = _PIECE  # type: ignore[attr-defined]  # open() hands it on, too
            parts = self._below.split("/")
            for depth in range(1, len(parts) + 1):
                tar.addfile(tar_entry("/".join(parts[:depth]), kind=tarfile.DIRTYPE))
            while self._frame(read, tar):
                pass
        self.complete = self.refusal is None

    def _frame(self, read: ReadExactly, tar: tarfile.TarFile) -> bool:
        kind, length, size = frames.HEADER.unpack(read(frames.HEADER.size))
        if kind == frames.END:
            return False
        if kind in {frames.REFUSED, frames.FAILED}:
            self.refusal = _refusal(kind, read(min(size, _MESSAGE_BYTES)) if not length else b"")
            return False
        if length > self._limits.path_bytes:
            _wrong("a name", f"is longer than {self._limits.path_bytes} bytes")
        name = self._name(read(length))
        self._count(name, size)
        path = f"{self._below}/{name}"
        if kind == frames.FOLDER and not size:
            self._folders.add(self._last)
            tar.addfile(tar_entry(path, kind=tarfile.DIRTYPE))
        elif kind == frames.LINK and size <= _LINK_BYTES:
            info = tar_entry(path, kind=tarfile.SYMTYPE)
            info.linkname = self._target(name, read(size))
            tar.addfile(info)
        elif kind in {frames.FILE, frames.PROGRAM}:
            info = tar_entry(path, size=size, executable=kind == frames.PROGRAM)
            tar.addfile(info, cast(BinaryIO, _Content(read, size)))
        else:
            _wrong(name, "is neither a file, a folder nor a link")
        return True

    def _count(self, name: str, size: int) -> None:
        """Count an entry and its bytes. Raises BuildFailed where they are too many."""
        self._entries += 1
        self._bytes += size
        if self._entries > self._limits.prefix_entries:
            _wrong(name, f"is one of more than {self._limits.prefix_entries} files")
        if self._bytes > self._limits.prefix_bytes:
            _wrong(name, f"makes them more than {self._limits.prefix_bytes} bytes")

    def _name(self, data: bytes) -> str:
        try:
            name = data.decode("utf-8")
        except UnicodeDecodeError:
            _wrong(ascii(data), "is not UTF-8")
        parts = tuple(name.split("/"))
        if "\0" in name or any(p in {"", ".", ".."} or p.startswith(_FORBIDDEN) for p in parts):
            _wrong(name, "is not a plain path below the environment")
        if parts[:-1] not in self._folders:
            _wrong(name, "lies in what is no folder")
        if parts <= self._last:
            _wrong(name, "comes twice, or out of order")
        self._last = parts
        return name

    def _target(self, name: str, data: bytes) -> str:
        """Where a link leads: to a place in the environment. Nothing on this machine follows it."""
        try:
            target = data.decode("utf-8")
        except UnicodeDecodeError:
            _wrong(name, "links to what is not UTF-8")
        folder = f"/{self._below}"
        place = os.path.normpath(os.path.join(f"{folder}/{name}", "..", target))
        if not target or "\0" in target or not f"{place}/".startswith(f"{folder}/"):
            _wrong(name, f"links to {target!r}, which lies outside the environment")
        return target


def printable(message: bytes) -> str:
    """Words that may be a stranger's, without control characters."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in message.decode("utf-8", "replace"))


def _refusal(kind: bytes, message: bytes) -> LockFailed | BuildFailed:
    """What the program inside said."""
    text = printable(message)
    if kind == frames.REFUSED:
        return LockFailed(text)
    return BuildFailed(f"the conda packages can't be installed: {text}")


def _wrong(name: str, problem: str) -> NoReturn:
    raise BuildFailed(
        f"the conda packages can't be laid out: {ascii(name)[1:-1][:200]} {problem}",
        advice="one of them is damaged, or made to do harm: look at where the lock came from",
    )
