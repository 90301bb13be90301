"""What an artifact may leave in the container, and its removal before the next artifact is run.

Every process below this one that is not to be kept is killed. Files in the writable folders, and shared
memory, are removed only where this process is number 1 of a container; those of a machine are never touched.
"""

import os
import signal
import stat
import time
from typing import Container, Dict, Iterable, List, Set, Tuple

FOLDERS = ("/tmp", "/dev/shm", "/dev/mqueue")  # noqa: S108  the container's own
KILL_SECONDS = 20.0  # for the death of what was killed
CLEAN_SECONDS = 60.0  # for the removal of files
_SHARED = (("shm", "shmctl"), ("sem", "semctl"), ("msg", "msgctl"))
_REMOVE = 0  # IPC_RMID

_Table = Dict[int, Tuple[bytes, int, int]]  # process: state, parent, threads


class Unclean(Exception):
    """What an artifact left can't be removed: nothing else may run here."""


def contained() -> bool:
    """Say whether this is the first process of a container, so that all there is belongs to the probe."""
    return os.getpid() == 1


def _processes() -> _Table:
    table: _Table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/{}/stat".format(name), "rb") as stream:
                fields = stream.read().rpartition(b")")[2].split()
            table[int(name)] = (fields[0], int(fields[1]), int(fields[17]))
        except (OSError, IndexError, ValueError):  # it has ended meanwhile
            pass
    return table


def _newest() -> str:
    """Give the number of the process that was made last in this container; "" where nobody says."""
    try:
        with open("/proc/loadavg") as stream:
            return stream.read().split()[-1]
    except (OSError, IndexError):
        return ""


def _below(table: _Table, top: int, spared: Container[int]) -> List[int]:
    """Name every process that descends from `top`, but none that descends from a spared one."""
    children: Dict[int, List[int]] = {}
    for pid, (_, parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    pids: List[int] = []
    stack, visited = [top], {top}
    while stack:
        for pid in children.get(stack.pop(), []):
            if pid in visited:
                continue
            visited.add(pid)
            pids.append(pid)
            if pid not in spared:
                stack.append(pid)
    return pids


def _ended(pid: int) -> bool:
    """Collect the exit code of a dead child of this process; say whether there was one."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def _kill_once(keep: Set[int], spared: Container[int]) -> bool:
    """Kill every process that may not live; say whether there was one."""
    this = os.getpid()
    table = _processes()
    some = False
    for pid in _below(table, this, spared):
        if pid in keep:
            continue
        state, parent, threads = table[pid]
        if parent == this and _ended(pid):
            some = True  # its children are this process's now: look again
            continue
        if state in (b"Z", b"X") and threads <= 1:  # its server collects it
            continue
        some = True
        try:
            os.kill(pid, signal.SIGKILL)  # stopped or not, in whichever session
        except OSError:
            pass
    return some


def end_processes(keep: Iterable[int], spared: Iterable[int] = ()) -> None:
    """Kill all processes below this one but `keep`, until no other runs. Raises Unclean.

    That /proc lists no other process counts only if no process was made while it was read.

    Args:
        spared: those of `keep` whose own children may live, too.
    """
    kept_pids, spared_pids = set(keep), set(spared)
    until = time.monotonic() + KILL_SECONDS
    while True:
        try:
            before = _newest()
            some = _kill_once(kept_pids, spared_pids)
            still = before == _newest()
        except OSError as error:
            raise Unclean("/proc can't be read: {}".format(error))
        if not some and (still or not contained()):
            return
        if time.monotonic() > until:
            raise Unclean("processes that an artifact left can't be ended")
        time.sleep(0.001 if some else 0)


def end_all() -> None:
    """Kill every process of this container but this one, in one step: nobody can fork out of it."""
    if not contained():
        raise Unclean("processes that an artifact left can't be ended")
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:  # there is none
        pass


def _is_container_folder(folder: str) -> bool:
    """Whether files can be left in `folder`, and are this container's own."""
    if not contained() or not os.path.ismount(folder):
        return False
    try:
        os.chmod(folder, 0o1777)  # noqa: S103  an artifact may own it, and have closed it
    except OSError:
        pass
    return os.access(folder, os.W_OK | os.X_OK | os.R_OK)


def used_folders() -> List[str]:
    """Name the folders in which something was left."""
    return [folder for folder in FOLDERS if _is_container_folder(folder) and os.listdir(folder)]


def clean(folder: str) -> None:
    """Remove all that lies in `folder`, however deep, following no link. Raises Unclean.

    A folder's own folders are moved up before it is removed, so that no depth matters.
    """
    until = time.monotonic() + CLEAN_SECONDS
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        while True:
            names = os.listdir(top)
            if not names:
                return
            for name in names:
                if time.monotonic() > until:
                    raise Unclean("{} holds too much to be removed".format(folder))
                _remove(top, name)
    except OSError as error:
        raise Unclean("{} can't be emptied: {}".format(folder, error))
    finally:
        os.close(top)


def _remove(top: int, name: str) -> None:
    """Remove one entry of the folder `top`; of a folder, its folders are moved into `top`."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=top)
        return
    os.chmod(name, 0o700, dir_fd=top)  # a folder, and no process runs that could make it a link
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for k, inner in enumerate(os.listdir(descriptor)):
            if not stat.S_ISDIR(os.stat(inner, dir_fd=descriptor, follow_symlinks=False).st_mode):
                os.unlink(inner, dir_fd=descriptor)
                continue
            os.chmod(inner, 0o700, dir_fd=descriptor)
            os.rename(inner, _free(top, k), src_dir_fd=descriptor, dst_dir_fd=top)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=top)


def _free(top: int, k: int) -> str:
    """A name that `top` does not hold."""
    while True:
        name = "moved-{}-{}".format(k, os.urandom(8).hex())
        try:
            os.stat(name, dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            return name


def remove_shared() -> None:
    """Remove System V shared memory, semaphores and queues: they outlive the process that made them."""
    if not contained():
        return
    for kind, call in _SHARED:
        try:
            with open("/proc/sysvipc/" + kind) as stream:
                numbers = [int(line.split()[1]) for line in stream.readlines()[1:]]
            if numbers:
                import ctypes  # an interpreter may have been built without it

                control = getattr(ctypes.CDLL(None), call)
                for number in numbers:
                    control(*([number, _REMOVE, 0] if kind != "sem" else [number, 0, _REMOVE]))
        except (OSError, ValueError, IndexError, ImportError, AttributeError):
            pass
