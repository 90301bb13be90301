"""The folder that one container sees: copies of its artifacts' listed files, and inputs without answers.

Each file is hashed while it is copied, so the container loads the hashed bytes even where the source changes
meanwhile. Where the file system can share blocks (reflinks), no bytes are copied.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import open_regular
from timeproof.errors import (
    BadArchive,
    DigestMismatch,
    ManyFindings,
    NoSpace,
    SizeMismatch,
    StorageFailed,
    Unreadable,
)
from timeproof.runs.task import Task
from timeproof.store.claims import Claim, check_claim
from timeproof.store.reference_inputs import copy_inputs
from timeproof.store.schema.v1 import FileEntry

INSIDE = "/in"
_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_WORTH_CLONING = 16 * 2**20  # bytes; from here on reflinks on the archive's own file system are tried
_SPARE = 64 * 2**20  # bytes that stay free beside the copies
_PER_FILE = 8192  # bytes that a file takes beside its contents
_WORTH_THREADS = 2**20  # bytes; from here on several threads copy
_OF_ONE_RUN = "timeproof-run-"  # begins the name of a folder that one run uses alone

_Copying = Callable[[], BadArchive | None]


@dataclass(frozen=True, slots=True)
class Handed:
    """One artifact as its container sees it."""

    directory: str  # inside
    files: tuple[FileEntry, ...]  # the reference among them holds inputs alone


class PrivateFolder:
    """Copies for one container, until `close`. Where the process is killed, the next one removes them.

    Attributes:
        handed: task id → what was copied.
        altered: task id → which of its files are not the recorded ones. Such a task has no copies.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Copy and hash the files. Raises NoSpace and StorageFailed; a wrong source goes to `altered`."""
        self.handed: dict[str, Handed] = {}
        self.altered: dict[str, BadArchive] = {}
        self._staging, self._cloning = _place(tasks)
        self.path = self._staging.path
        try:
            with atomic.storage(self.path):
                self.path.chmod(0o755)
                _folder(self.path / "in")
            self._copy(tasks)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PrivateFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder. Does nothing where it is removed already."""
        self._staging.close()
        if self.path.parent.name.startswith(_OF_ONE_RUN):
            with suppress(OSError):
                self.path.parent.rmdir()

    def _copy(self, tasks: Sequence[Task]) -> None:
        copies = [_Copies(task, self.path / "in" / str(k), self._cloning) for k, task in enumerate(tasks)]
        jobs = [job for copy in copies for job in copy.jobs()]
        if sum(task.bytes for task in tasks) < _WORTH_THREADS:
            results = [job() for job in jobs]
        else:
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                results = list(pool.map(lambda job: job(), jobs))
        remaining = iter(results)
        for k, (task, copy) in enumerate(zip(tasks, copies, strict=True)):
            findings = sorted((f for f in (next(remaining) for _ in copy.jobs()) if f), key=lambda f: f.path)
            if findings:
                many = len(findings) > 1
                self.altered[task.id] = ManyFindings(task.folder, findings) if many else findings[0]
                shutil.rmtree(copy.target, ignore_errors=True)
            else:
                self.handed[task.id] = Handed(f"{INSIDE}/{k}", copy.entries())


class _Copies:
    """The copies of one task's files."""

    def __init__(self, task: Task, target: Path, cloning: bool) -> None:
        self.task, self.target, self.cloning = task, target, cloning
        self.inputs: FileEntry | None = None  # the file of inputs, as it is in `target`
        self._root = task.root or task.folder
        self._below = f"{task.folder.relative_to(task.root).as_posix()}/" if task.root else ""

    def jobs(self) -> list[_Copying]:
        """Return one call for each file; each returns what is wrong with the file."""
        task = self.task
        return [
            *(partial(self._file, f) for f in task.files),
            *(partial(self._beside, f) for f in task.beside),
        ]

    def entries(self) -> tuple[FileEntry, ...]:
        inputs = self.inputs
        return tuple(inputs if inputs is not None and f.path == inputs.path else f for f in self.task.files)

    def _beside(self, entry: FileEntry) -> BadArchive | None:
        """Hash a file that the container does not get."""
        return check_claim(self._root, Claim(self._below + entry.path, entry.size, entry.sha256))

    def _file(self, entry: FileEntry) -> BadArchive | None:
        where = self.task.folder / entry.path
        try:
            with open_regular(self._root, self._below + entry.path) as source:
                size = os.fstat(source.fileno()).st_size
                if size != entry.size:
                    raise SizeMismatch(where, entry.size, size)
                with _new_file(self._target(entry.path)) as sink:
                    if entry.path == self.task.inputs_file and entry.path.endswith(".npz"):
                        self._inputs(source, sink, entry, where)
                    else:
                        _check_digest(_copy(source, sink, self.cloning), entry, where)
        except BadArchive as error:
            return error
        except OSError as error:
            return Unreadable(where, error)
        return None

    def _target(self, path: str) -> Path:
        folder = self.target
        with atomic.storage(folder):
            _folder(folder)
            for part in path.split("/")[:-1]:
                folder /= part
                _folder(folder)
        return self.target / path

    def _inputs(self, source: BinaryIO, sink: BinaryIO, entry: FileEntry, where: Path) -> None:
        """Copy only the inputs out of the reference, once it is the recorded one. Raises BadArchive."""
        _check_digest(Digest.of_stream(source), entry, where)
        source.seek(0)
        copy_inputs(source, sink, self.task.inputs, where)
        sink.seek(0)
        digest, size = Digest.of_stream(sink)
        self.inputs = entry.model_copy(update={"size": size, "sha256": digest.hex})


class _Target(io.FileIO):
    """A file of the private folder. A failed write is this folder's error, not the copied file's."""

    def write(self, data: Any) -> int:
        with atomic.storage(Path(str(self.name))):
            return super().write(data)


def _new_file(path: Path) -> io.BufferedRandom:
    with atomic.storage(path):
        raw = _Target(path, "x+b")
        os.fchmod(raw.fileno(), 0o644)
    return io.BufferedRandom(raw, 1 << 20)


def _folder(path: Path) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(0o755)


def _check_digest(actual: tuple[Digest, int], entry: FileEntry, where: Path) -> None:
    digest, size = actual
    if size != entry.size:
        raise SizeMismatch(where, entry.size, size)
    if digest.hex != entry.sha256:
        raise DigestMismatch(where, Digest(entry.sha256), digest)


def _copy(source: BinaryIO, sink: BinaryIO, cloning: bool) -> tuple[Digest, int]:
    """Copy `source` to `sink`, and return the digest and size of the bytes in `sink`."""
    if cloning and _clone(source, sink):
        return Digest.of_stream(sink)
    actual = Digest.of_stream(source, sink)
    sink.flush()
    return actual


def _clone(source: BinaryIO, sink: BinaryIO) -> bool:
    """Let `sink` share the blocks of `source`; False where the file system can't."""
    try:
        fcntl.ioctl(sink.fileno(), _FICLONE, source.fileno())
    except OSError:
        return False
    return True


def _place(tasks: Sequence[Task]) -> tuple[atomic.Staging, bool]:
    """Make a folder with room for all copies; return it, and whether it shares blocks with the sources.

    Raises NoSpace.
    """
    needed = sum(task.bytes + _PER_FILE * len(task.files) for task in tasks)
    neighbour = next((t.root or t.folder.parent for t in tasks), None)
    if neighbour is not None and needed >= _WORTH_CLONING:
        with suppress(StorageFailed, OSError):
            staging = atomic.Staging(neighbour, "replay")
            if _clones(tasks, staging.path):
                atomic.sweep(neighbour)
                return staging, True
            staging.close()
    temporary = _temporary()
    free = _free(temporary)
    if free >= needed + _SPARE or needed < _WORTH_CLONING:
        atomic.sweep(temporary)
        return atomic.Staging(temporary, "replay"), False
    if neighbour is not None and _free(neighbour) >= needed + _SPARE:
        with suppress(StorageFailed):
            return atomic.Staging(neighbour, "replay"), False
    raise NoSpace(temporary, needed, free)


def _free(folder: Path) -> int:
    """Bytes that this user may write there."""
    try:
        facts = os.statvfs(folder)
    except OSError:
        return 0
    return facts.f_bavail * facts.f_frsize


def _clones(tasks: Sequence[Task], folder: Path) -> bool:
    """Whether the largest of the files can share its blocks with one in `folder`."""
    _, path = max(((f.size, t.folder / f.path) for t in tasks for f in t.files), key=lambda pair: pair[0])
    trial = folder / "trial"
    try:
        with open(path, "rb", opener=_without_links) as source, open(trial, "xb") as sink:
            return _clone(source, sink)
    except OSError:
        return False
    finally:
        trial.unlink(missing_ok=True)


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _temporary() -> Path:
    """Return this user's folder for copies; a folder for this run alone where another user owns that name."""
    path = Path(tempfile.gettempdir(), f"timeproof-{os.getuid()}")
    with atomic.storage(path):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            return path
        return Path(tempfile.mkdtemp(prefix=_OF_ONE_RUN))
