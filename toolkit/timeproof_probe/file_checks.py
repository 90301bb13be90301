"""Which files an artifact may read, and the check that they are the recorded ones, before any is loaded."""

import hashlib
import os
import stat
from typing import Any, Dict, List

_CHUNK = 1 << 20


class Altered(Exception):
    """A file is not what the job says it is. `path` is relative to the artifact's folder."""

    def __init__(self, path: str, why: str) -> None:
        Exception.__init__(self, "{}: {}".format(path, why))
        self.path = path


class Refused(Exception):
    """The artifact can't be run, in words that a user understands."""


def safe(path: Any) -> bool:
    """Say whether `path` is a plain relative path: no `..`, no root, no back slash, no control character."""
    if not isinstance(path, str) or not path or "\\" in path or any(ord(c) < 32 for c in path):
        return False
    if len(path) > 1 and path[1] == ":":
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def open_regular(directory: str, path: str) -> int:
    """Open `directory/path` without following a link below `directory`; return the descriptor.

    Raises Altered.
    """
    if not safe(path):
        raise Altered(path, "not a plain relative path")
    location = directory
    parts = path.split("/")
    try:
        for depth, part in enumerate(parts):
            location = os.path.join(location, part)
            mode = os.lstat(location).st_mode
            last = depth == len(parts) - 1
            if stat.S_ISLNK(mode):
                raise Altered(path, "a symbolic link, not a file")
            if not (stat.S_ISREG(mode) if last else stat.S_ISDIR(mode)):
                raise Altered(path, "not a regular file")
        fd = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Altered(path, "missing" if isinstance(error, FileNotFoundError) else str(error.strerror))
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Altered(path, "not a regular file")
    return fd


def digest(directory: str, path: str, size: int) -> str:
    """Give the file's SHA-256 as 64 hex digits; memory stays flat. Raises Altered for another size."""
    with os.fdopen(open_regular(directory, path), "rb", buffering=0) as stream:
        actual = os.fstat(stream.fileno()).st_size
        if actual != size:
            raise Altered(path, "{} bytes long, not {}".format(actual, size))
        state = hashlib.sha256()
        while True:
            chunk = stream.read(_CHUNK)
            if not chunk:
                return state.hexdigest()
            state.update(chunk)


def check(directory: str, files: List[Dict[str, Any]]) -> Dict[str, int]:
    """Check every listed file's kind, size and SHA-256; return the sizes by path. Raises Altered."""
    sizes: Dict[str, int] = {}
    for entry in files:
        path, size, expected = entry["path"], entry["size"], entry["sha256"]
        actual = digest(directory, path, size)
        if actual != expected:
            raise Altered(path, "SHA-256 {}, not {}".format(actual, expected))
        sizes[path] = size
    return sizes
