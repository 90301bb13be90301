"""Which relative paths may stand in a manifest, and how a file is opened without following links.

Paths are refused, never normalised: `a//b` is an error, not `a/b`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from timeproof.base.limits import LIMITS
from timeproof.errors import Missing, NotRegular, UnsafePath

# learn.microsoft.com, "Naming Files, Paths, and Namespaces"; spaces before the dot are dropped there.
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?")
_CHANGED = {errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENODEV}  # what is there was swapped
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')


def check_relative(path: str) -> str:
    """Return `path` unchanged if every platform can hold it and it stays below its root.

    Raises UnsafePath for traversal, absolute and drive paths, back slashes, NUL and other control
    characters, empty components, names that Windows reserves, names that are not NFC, and lengths
    beyond the limits.
    """
    if not path:
        raise UnsafePath(path, "it is empty")
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        raise UnsafePath(path, "it holds a lone surrogate") from None
    if len(encoded) > LIMITS.path_bytes:
        raise UnsafePath(path[:80] + "…", f"it is longer than {LIMITS.path_bytes} bytes")
    if match := _FORBIDDEN.search(path):
        raise UnsafePath(path, f"it holds {match.group()!r}")
    if path.startswith("/"):
        raise UnsafePath(path, "it is absolute")
    if unicodedata.normalize("NFC", path) != path:
        raise UnsafePath(path, "it is not in Unicode's NFC spelling")
    for name in path.split("/"):
        if name in {"", ".", ".."}:
            raise UnsafePath(path, f"it has the component {name!r}")
        if len(name.encode()) > LIMITS.name_bytes:
            raise UnsafePath(path, f"a name in it is longer than {LIMITS.name_bytes} bytes")
        if name[-1] in ". ":
            raise UnsafePath(path, f"the name {name!r} ends in a dot or a space")
        if _RESERVED.fullmatch(name):
            raise UnsafePath(path, f"Windows reserves the name {name!r}")
    return path


def check_collisions(paths: Iterable[str]) -> None:
    """Raise UnsafePath where two paths can't stand side by side on every file system.

    That is where they, or folders of them, differ only by case or Unicode spelling; where a path is
    listed twice; and where one is a file and another lies below it.
    """
    spellings: dict[str, str] = {}
    listed: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        if path in listed:
            raise UnsafePath(path, "it is listed twice")
        listed.add(path)
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            prefix = "/".join(parts[:depth])
            key = unicodedata.normalize("NFC", prefix).casefold()
            other = spellings.setdefault(key, prefix)
            if other != prefix:
                raise UnsafePath(path, f"on some file systems it is the same file as {other!r}")
            if depth < len(parts):
                folders.add(prefix)
    if both := sorted(listed & folders):
        raise UnsafePath(both[0], "it is listed as a file, and as a folder of others")


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISCHR, "a character device"),
    ):
        if test(mode):
            return name
    return "something unknown"


def open_regular(root: Path, relative: str) -> BinaryIO:
    """Open `root/relative` for reading, following no link below `root` and blocking on no pipe.

    `root` itself may be a link. Raises Missing, NotRegular or UnsafePath, each with the whole path;
    OSError where the disk or the permissions fail.
    """
    at = open_parent(root, relative)
    try:
        return open_within(at, root, relative)
    finally:
        os.close(at)


def open_parent(root: Path, relative: str) -> int:
    """Open the folder that holds `root/relative`, as `open_regular` would on its way; a descriptor."""
    names = check_relative(relative).split("/")
    try:
        at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise Missing(root / relative) from None
    for depth in range(1, len(names)):
        try:
            below = _open(at, names[depth - 1], root, "/".join(names[:depth]), relative)
        finally:
            os.close(at)
        at = below
    return at


def open_within(parent: int, root: Path, relative: str) -> BinaryIO:
    """`open_regular`, where the folder that holds the file is open already: see `open_parent`."""
    name = check_relative(relative).rpartition("/")[2]
    return os.fdopen(_open(parent, name, root, relative, relative), "rb", buffering=0)


def _open(at: int, name: str, root: Path, reached: str, wanted: str) -> int:
    """Open a folder on the way to `wanted`, or where `reached` is `wanted`, the file."""
    last = reached == wanted
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        mode = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) if last else stat.S_ISDIR(mode)):
            raise NotRegular(root / reached, _kind(mode))
        fd = os.open(name, flags | (0 if last else os.O_DIRECTORY), dir_fd=at)
    except FileNotFoundError:
        raise Missing(root / wanted) from None
    except OSError as error:
        if error.errno not in _CHANGED:
            raise
        raise NotRegular(root / reached, "changing under our feet") from error
    if last and not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotRegular(root / reached, "changing under our feet")
    return fd


def list_tree(root: Path) -> list[str]:
    """List everything below `root` that is not a folder, as sorted relative POSIX paths.

    Links are listed, never followed. Raises nothing for odd names: they come back as they are. Folders that
    others remove meanwhile are left out; FileNotFoundError only where `root` itself is absent.
    """
    paths: list[str] = []
    stack = [("", root)]
    while stack:
        prefix, folder = stack.pop()
        try:
            entries = os.scandir(folder)
        except FileNotFoundError:
            if not prefix:
                raise
            continue
        with entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    stack.append((name + "/", Path(entry.path)))
                else:
                    paths.append(name)
    return sorted(paths)
