"""Control groups made for one sandbox: bounds of memory and processes, and the count of what they killed."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

_NAME = "timeproof-"
_OLD = 3600.0  # seconds
_TO_GO = 10.0  # seconds: the kernel takes a while to bury the dead


def _hierarchies() -> list[tuple[str, Path, str]]:
    """The control groups that this process is in: (controller or "" for version 2, mount, our path)."""
    paths = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    hierarchies = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        wanted = {"cgroup2": {""}, "cgroup": {"memory", "pids"} & set(options.split(","))}.get(kind, set())
        for controller in wanted:
            path = paths.get(controller, "/")
            below = os.path.relpath(path, root) if path.startswith(root) else "."
            hierarchies.append((controller, Path(mount), below))
    return hierarchies


class Group:
    """Control groups made for one sandbox. Without the right to make them, there are none."""

    def __init__(self, memory: int, pids: int) -> None:
        self.folders: dict[str, Path] = {}
        name = _NAME + secrets.token_hex(8)
        with suppress(OSError, ValueError):
            for controller, mount, below in _hierarchies():
                with suppress(OSError):
                    parent = mount / below if controller else _with_memory(mount, mount / below)
                    if parent is not None and (controller or not self.folders):
                        _sweep(parent)
                        (parent / name).mkdir()
                        self.folders[controller] = parent / name
        self.memory = self._set("memory", memory, ("memory.limit_in_bytes", "memory.max"))
        self._set("memory", memory, ("memory.memsw.limit_in_bytes",))
        self._set("memory", 0, ("memory.swap.max",))
        self.pids = self._set("pids", pids, ("pids.max",))

    def _folder(self, controller: str) -> Path | None:
        return self.folders.get(controller) or self.folders.get("")

    def _set(self, controller: str, value: int, names: tuple[str, ...]) -> bool:
        folder = self._folder(controller)
        for name in names:
            with suppress(OSError):
                if folder is not None and (folder / name).exists():
                    (folder / name).write_text(str(value))
                    return True
        return False

    def join(self) -> None:
        for folder in self.folders.values():
            (folder / "cgroup.procs").write_text("0")

    def oom_kills(self) -> int:
        folder = self._folder("memory")
        for name in ("memory.oom_control", "memory.events"):
            with suppress(OSError, ValueError):
                lines = (folder / name).read_text().splitlines() if folder is not None else []
                return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        return 0

    def remove(self) -> None:
        for folder in self.folders.values():
            end = time.monotonic() + _TO_GO
            while time.monotonic() < end:
                with suppress(OSError):
                    folder.rmdir()
                if not folder.exists():
                    break
                time.sleep(0.02)


def _sweep(parent: Path) -> None:
    """Remove old groups of killed processes. The kernel refuses where a process is in one."""
    for folder in parent.glob(f"{_NAME}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _OLD:
                folder.rmdir()


def _with_memory(mount: Path, group: Path) -> Path | None:
    """The nearest group, upwards, that gives its children bounds of memory."""
    for folder in (group, *group.parents):
        with suppress(OSError):
            if "memory" in (folder / "cgroup.subtree_control").read_text().split():
                return folder
        if folder == mount:
            break
    return None
