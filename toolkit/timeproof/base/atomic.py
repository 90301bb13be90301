"""Writing so that a file is absent or complete, whatever kills us in between.

The order is always: write beside the target, fsync, rename or link, fsync the folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from timeproof.errors import Exists, StorageFailed

STAGING = ".staging-"
_LOCK = ".lock"


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn the file system's refusals below `path` into StorageFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in {
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EROFS,
            errno.EIO,
            errno.EACCES,
            errno.EPERM,
            errno.ENAMETOOLONG,
            errno.EFBIG,
            errno.ESTALE,
            errno.EOPNOTSUPP,
        }:
            raise StorageFailed(path, os.strerror(error.errno)) from error
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


_MANY = 64  # files from which on several are made durable at once: a journal takes them together


def sync_all(paths: Iterable[Path]) -> None:
    """Make files, and folders with all that is below them, durable: files first, then the folders."""
    files: list[str] = []
    folders: list[Path] = []
    for path in paths:
        if path.is_symlink() or not path.is_dir():
            files.append(os.fspath(path))
            continue
        for folder, _, names in os.walk(path):
            files += [os.path.join(folder, name) for name in names]
            folders.append(Path(folder))
    if len(files) < _MANY:
        for file in files:
            _sync_file(file)
    else:
        with ThreadPoolExecutor(16) as pool:
            for _ in pool.map(_sync_file, files):
                pass
    for each in folders:
        sync_folder(each)


def sync_folders_up(folder: Path, root: Path) -> None:
    """Make the names in `folder` durable, and those of every folder on the way up to `root`, which included.

    `folder` is `root`, or lies below it.
    """
    for each in (folder, *folder.parents):
        sync_folder(each)
        if each == root:
            return


def make_folder(folder: Path) -> None:
    """Make `folder` and the folders above it that are missing, and make their names durable."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def _sync_file(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write `data` to `path`, whole or not at all.

    Args:
        replace: False refuses a `path` that exists already, also against a concurrent writer.

    Raises:
        Exists: `path` is there, and `replace` is False.
        StorageFailed: the disk refuses; `path` is as it was. (One case is beyond us: where the folder
            can't be synced after `path` was replaced, it holds the new data, complete.)
    """
    beside = path.with_name(f"{STAGING}{secrets.token_hex(8)}")
    with storage(path):
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            with os.fdopen(fd, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if replace:
                os.rename(beside, path)
            else:
                try:
                    os.link(beside, path)
                except FileExistsError:
                    raise Exists(path) from None
            try:
                sync_folder(path.parent)
            except OSError:
                if not replace:  # ours, and not durable: "nothing was published" has to be true
                    path.unlink()
                raise
        finally:
            with suppress(OSError):
                os.unlink(beside)


@contextmanager
def lock(folder: Path, name: str = _LOCK) -> Iterator[None]:
    """Hold the one writer's lock of `folder`; the kernel frees it when the process dies."""
    with storage(folder):
        make_folder(folder)
        fd = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


class Staging:
    """A private folder in which something is made before it is published.

    Held by a lock for as long as its maker lives: `sweep` removes what dead makers left.
    """

    def __init__(self, parent: Path, label: str = "") -> None:
        with storage(parent):
            make_folder(parent)
            while True:
                self.path = parent / f"{STAGING}{label}{'-' if label else ''}{secrets.token_hex(8)}"
                # The guard stands beside the folder, so that renaming the folder moves only its content.
                self._guard = self.path.with_name(self.path.name + ".guard")
                self._fd = os.open(self._guard, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                fcntl.flock(self._fd, fcntl.LOCK_EX)
                if os.fstat(self._fd).st_nlink:
                    break
                os.close(self._fd)  # a sweep came between the two lines above, and took it for dead
            try:
                self.path.mkdir(mode=0o755)
            except OSError:
                self._guard.unlink()
                os.close(self._fd)
                raise

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove it. Does nothing where that was done."""
        if self._fd < 0:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.unlink(self._guard)
        os.close(self._fd)
        self._fd = -1


@contextmanager
def _dead(guard: Path) -> Iterator[bool]:
    """Tell whether the maker that `guard` stands for is gone; if so, nobody else sweeps meanwhile."""
    try:
        fd = os.open(guard, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # the guard is the first to come and the last to go
        yield True
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def live_staging(parent: Path) -> list[str]:
    """Names of the staging folders in `parent` whose makers still run."""
    live = []
    for guard in sorted(parent.glob(f"{STAGING}*.guard")):
        with _dead(guard) as dead:
            if not dead:
                live.append(guard.name.removesuffix(".guard"))
    return live


def sweep(parent: Path, *, older_than: float = 3600.0) -> list[str]:
    """Remove from `parent` what dead makers left; return the names that are gone.

    Args:
        older_than: seconds; the single files that `write` was writing have no guard, and are taken
            for dead at this age.
    """
    removed = []
    for path in sorted(parent.glob(f"{STAGING}*")):
        base = path.name.removesuffix(".guard")
        with _dead(parent / f"{base}.guard") as dead, suppress(OSError):
            if not dead:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != base or time.time() - path.lstat().st_mtime >= older_than:
                path.unlink()
            else:
                continue
            removed.append(path.name)
    return removed
