"""The inventory of an unpacked image: one digest over every file, folder and link below a folder."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from timeproof.base.digests import Digest


def inventory_digest(root: Path) -> str:
    """The SHA-256 (hex) of the list of all that lies below `root`: names, kinds, modes, contents."""
    listing = json.dumps(_inventory(root), ensure_ascii=True)
    return Digest.of(listing.encode()).hex


def _inventory(root: Path) -> list[tuple[str, str]]:
    """Every file, folder and link below `root`: (path, its description). Follows no link."""
    paths = []
    folders = [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                paths.append(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
    paths.sort()
    names = (path[len(str(root)) + 1 :] for path in paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing lets go of Python's lock
        return list(zip(names, pool.map(_description, paths), strict=True))


def _description(path: str) -> str:
    status = os.lstat(path)
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    if stat.S_ISLNK(status.st_mode):
        return f"link {os.readlink(path)}"
    if stat.S_ISDIR(status.st_mode):
        return f"folder {mode}"
    if not stat.S_ISREG(status.st_mode):
        return f"special {status.st_mode:o}"
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as file:
        return f"file {mode} {hashlib.file_digest(file, 'sha256').hexdigest()}"
