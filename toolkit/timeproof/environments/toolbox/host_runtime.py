"""What the toolkit itself runs on: its interpreter, its packages' folders, and the libraries of this machine
that both need, found as this machine's loader would find them. Only files of our own are read here.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from timeproof.base import proc
from timeproof.environments.interpreter import elf
from timeproof.errors import ToolFailed, ToolMissing

# What the programs inside a container import; with all that these need.
_DISTRIBUTIONS = ("conda-lock", "py-rattler", "pip", "pyyaml", "zstandard", "orjson", "packaging")
# Loaded by name at run time, where the C library is old: they look up the names of hosts.
_RESOLVERS = ("libresolv.so.2", "libnss_dns.so.2", "libnss_files.so.2")
_CACHED = re.compile(r"^\s*(\S+) \(.*\) => (/\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python of this machine, by its real file."""

    program: Path
    stdlib: Path
    lib: str  # the folder of libraries in its prefix: `lib`, on some systems `lib64`


def own_interpreter() -> Interpreter:
    """The Python that runs the toolkit."""
    program = Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
    return Interpreter(program, Path(os.path.realpath(os.path.dirname(os.__file__))), sys.platlibdir)


def sites() -> list[Path]:
    """The folders that the toolkit's own distributions lie in."""
    named = [Path(p) for p in sys.path if os.path.basename(p) in {"site-packages", "dist-packages"}]
    return [p for p in dict.fromkeys(named) if p.is_dir()]


def _extension_modules() -> Iterator[Path]:
    """The shared objects of the distributions that run inside."""
    names, visited = list(_DISTRIBUTIONS), set()
    while names:
        key = canonicalize_name(names.pop())
        if key in visited:
            continue
        visited.add(key)
        try:
            distribution = metadata.distribution(key)
        except metadata.PackageNotFoundError:
            continue
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                names.append(requirement.name)
        for file in distribution.files or ():
            if ".so" in file.suffixes:
                yield Path(str(distribution.locate_file(file)))


def _known_libraries() -> dict[str, list[str]]:
    """The loader's own cache of libraries: name, and the files of that name."""
    paths: dict[str, list[str]] = {}
    tool = shutil.which("ldconfig", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if tool is not None:
        try:
            listing = proc.run([tool, "-p"], env={"LC_ALL": "C"}, check=False).stdout
        except (ToolMissing, ToolFailed):
            listing = b""
        for name, path in _CACHED.findall(listing.decode("utf-8", "replace")):
            paths.setdefault(name, []).append(path)
    return paths


class _Closure:
    """Follows what shared objects need, to the files that this machine's loader would take."""

    def __init__(self, loader: str, machine: str, mounted: tuple[Path, ...]) -> None:
        self.machine, self.mounted = machine, mounted
        self.cache = _known_libraries()
        # A loader without a cache (musl's) looks into its own folder.
        self.folders = [os.path.dirname(os.path.realpath(loader)), "/usr/local/lib", "/usr/lib", "/lib"]
        self.libraries: dict[str, Path] = {}
        self.visited: set[Path] = set()

    def _candidates(self, name: str, runpath: list[str]) -> Iterator[Path]:
        for folder in runpath:
            yield Path(folder, name)
        yield from map(Path, self.cache.get(name, ()))
        for folder in self.folders:
            yield Path(folder, name)

    def add(self, path: Path) -> None:
        files = [path]
        while files:
            file = Path(os.path.realpath(files.pop()))
            if file in self.visited:
                continue
            self.visited.add(file)
            try:
                dynamic = elf.parse(file.read_bytes())
            except (OSError, ValueError):
                continue
            origin = str(file.parent)
            runpath = [
                p.replace("$ORIGIN", origin).replace("${ORIGIN}", origin)
                for p in (dynamic.runpath or "").split(":")
                if p
            ]
            files += filter(None, (self.library(name, runpath) for name in dynamic.needed))

    def library(self, name: str, runpath: list[str] = []) -> Path | None:  # noqa: B006  never changed
        """The file of that name; it is noted, unless it lies in a folder that is mounted anyway."""
        for path in self._candidates(name, runpath):
            if not path.is_file() or elf.parse(path.read_bytes()).machine != self.machine:
                continue
            if not any(Path(os.path.normpath(path)).is_relative_to(m) for m in self.mounted):
                self.libraries.setdefault(name, path)
            return path
        return None


@functools.cache
def libraries(interpreters: tuple[Interpreter, ...]) -> tuple[str, dict[str, Path]]:
    """The loader that an interpreter asks for, and every library by the name that it is asked for."""
    program = interpreters[0].program.read_bytes()
    loader = elf.interpreter(program)
    mounted = (*(i.stdlib for i in interpreters), *sites())
    closure = _Closure(loader, elf.parse(program).machine, mounted)
    for interpreter in interpreters:
        closure.add(interpreter.program)
        for path in sorted(interpreter.stdlib.glob("lib-dynload/*.so")):
            if not path.name.startswith("_tkinter"):  # it wants a display, and two dozen libraries
                closure.add(path)
    for path in _extension_modules():
        closure.add(path)
    for name in _RESOLVERS:
        closure.library(name)
    return loader, closure.libraries
