"""A local interpreter as a conda package: the same interpreter gives the same bytes.

Prefix-style interpreters (pyenv, uv, python.org, the official images) and Debian's and Ubuntu's own
`/usr/bin/python3` become the same layout: `bin/python3.X`, `lib/python3.X`, `lib/libpython*.so`.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from timeproof.base import proc
from timeproof.base.digests import Digest
from timeproof.environments.conda import package_format
from timeproof.environments.conda.package_format import Entry
from timeproof.environments.interpreter import elf
from timeproof.environments.interpreter.inspection import Inspection
from timeproof.environments.interpreter.packing import Packer
from timeproof.environments.interpreter.system_libraries import Library, libraries_of
from timeproof.errors import NotCapturable, ToolFailed


@dataclass(frozen=True, slots=True)
class InterpreterPackage:
    """A packed interpreter. `system_libraries` is what it needs from the base image, with the Debian
    packages (`system_packages`) that hold it, where dpkg knows."""

    path: Path
    sha256: Digest
    md5: str
    version: str
    build: str
    subdir: str
    glibc: str  # the oldest GNU C library that it runs on, such as "2.34"; empty where it needs none
    system_libraries: tuple[str, ...]
    system_packages: tuple[str, ...]

    @property
    def file_name(self) -> str:
        return self.path.name


def _unpack(entries: list[Entry], folder: Path) -> None:
    for entry in entries:
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.link is not None:
            path.symlink_to(entry.link)
        else:
            path.write_bytes(entry.data)
            path.chmod(0o755 if entry.executable else 0o644)


def _prove(entries: list[Entry], folder: Path, name: str) -> tuple[Library, ...]:
    """Run the packed interpreter where it was never installed; list what it takes from the system."""
    _unpack(entries, folder)
    check = "import sys, os, json, struct, hashlib, zlib; print(os.path.realpath(sys.prefix))"
    try:
        done = proc.run(
            [folder / "bin" / name, "-I", "-B", "-c", check], env={"PATH": "/usr/bin:/bin"}, timeout=60.0
        )
    except ToolFailed as error:
        raise NotCapturable([f"the interpreter does not run from another folder: {error.tail}"]) from error
    if done.stdout.decode().strip() != os.path.realpath(folder):
        raise NotCapturable(
            [f"the interpreter, run from {folder}, says that it is in {done.stdout.decode().strip()}"]
        )
    return libraries_of([folder / e.path for e in entries if elf.is_elf(e.data)], inside=folder)


def pack_interpreter(inspection: Inspection, folder: Path) -> InterpreterPackage:
    """Write the interpreter to `folder` as `python-<version>-<build>.conda`, and prove that it runs.

    Virtual environments are packed from the interpreter that they were made of. The build string holds
    a digest of the content.

    Raises:
        NotCapturable: it can't be made relocatable, or does not run from another place.
    """
    _check_kind(inspection)
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        entries = Packer(inspection, Path(scratch)).pack()
        libraries = _prove(entries, Path(scratch, "run"), f"python{inspection.minor}")
    glibc = elf.glibc_needed(e.data for e in entries if elf.is_elf(e.data))
    content = "".join(f"{e.path}\0{e.link}\0{Digest.of(e.data)}\n" for e in entries)
    build = f"timeproof_{Digest.of(content.encode()).hex[:12]}"
    path = folder / f"python-{inspection.version}-{build}.conda"
    folder.mkdir(parents=True, exist_ok=True)
    about = {"summary": "A local interpreter, packed by timeproof"}
    package_format.write(path, _index(inspection, build, glibc), entries, about)
    md5, sha = package_format.hashes(path)
    return InterpreterPackage(
        path=path,
        sha256=Digest(sha),
        md5=md5,
        version=inspection.version,
        build=build,
        subdir=inspection.subdir,
        glibc=glibc,
        system_libraries=tuple(sorted({lib.soname for lib in libraries})),
        system_packages=tuple(sorted({lib.package for lib in libraries if lib.package})),
    )


def _check_kind(inspection: Inspection) -> None:
    """Raise NotCapturable for what is not CPython, or not of Linux."""
    label = f"the interpreter {inspection.executable}"
    implementation = inspection.interpreter["implementation"]
    if implementation != "cpython":
        raise NotCapturable([f"{label} is {implementation}, not CPython"])
    if not inspection.subdir.startswith("linux-"):
        raise NotCapturable([f"{label}: images are made for Linux, this is {inspection.subdir}"])


def _index(inspection: Inspection, build: str, glibc: str) -> dict[str, object]:
    """The package's info/index.json."""
    subdir = inspection.subdir
    return {
        "arch": "x86_64" if subdir == "linux-64" else subdir.removeprefix("linux-"),
        "build": build,
        "build_number": 0,
        "depends": [f"__glibc >={glibc}"] if glibc else [],
        "license": "PSF-2.0",
        "name": "python",
        "platform": "linux",
        "python_site_packages_path": f"lib/python{inspection.minor}/site-packages",
        "subdir": subdir,
        "version": inspection.version,
    }
