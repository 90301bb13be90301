"""The dynamic section of an ELF file: which libraries it needs, and where it looks for them.

Bytes in, bytes out; no IO. Only what is needed to make an interpreter relocatable without other
tools: a run path is rewritten *in place*, where there is room for it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MAGIC = b"\x7fELF"
_LOAD, _DYNAMIC, _INTERP = 1, 2, 3
_NULL, _NEEDED, _STRTAB, _SYMTAB, _STRSZ, _SYMENT = 0, 1, 5, 6, 10, 11
_SONAME, _RPATH, _RUNPATH, _GNU_HASH, _HASH = 14, 15, 29, 0x6FFFFEF5, 4
_MACHINES = {
    62: "x86_64",
    183: "aarch64",
    3: "i686",
    40: "armv7l",
    21: "ppc64le",
    22: "s390x",
    243: "riscv64",
}


class NoRoom(ValueError):
    """The run path can't be rewritten in place: there is none, it is too short, or its bytes are shared."""


@dataclass(frozen=True, slots=True)
class Elf:
    """What the dynamic section says. `runpath` is what stands in DT_RUNPATH or DT_RPATH, unexpanded."""

    machine: str
    needed: tuple[str, ...]
    soname: str | None
    runpath: str | None


def is_elf(data: bytes) -> bool:
    return data[:4] == _MAGIC


class _View:
    def __init__(self, data: bytes) -> None:
        if not is_elf(data) or data[4] != 2:
            raise ValueError("not a 64-bit ELF file")
        self.data = data
        self.order = "<" if data[5] == 1 else ">"
        self.machine = self.unpack("H", 18)[0]
        phoff = self.unpack("Q", 32)[0]
        size, count = self.unpack("HH", 54)
        self.loads: list[tuple[int, int, int]] = []
        self.dynamic: tuple[int, int] | None = None
        self.loader = ""
        for at in range(phoff, phoff + size * count, size):
            kind, _, offset, vaddr, _, length = self.unpack("IIQQQQ", at)
            if kind == _LOAD:
                self.loads.append((vaddr, offset, length))
            elif kind == _DYNAMIC:
                self.dynamic = (offset, length)
            elif kind == _INTERP:
                self.loader = self.string(offset)

    def unpack(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + form, self.data, at)

    def entries(self) -> Iterator[tuple[int, int]]:
        if self.dynamic is None:
            return
        start, length = self.dynamic
        for at in range(start, start + length, 16):
            tag, value = self.unpack("QQ", at)
            if tag == _NULL:
                return
            yield tag, value

    def offset(self, vaddr: int) -> int:
        for base, offset, length in self.loads:
            if base <= vaddr < base + length:
                return vaddr - base + offset
        raise ValueError("an address outside the file")

    def string(self, at: int) -> str:
        return self.data[at : self.data.index(b"\0", at)].decode("utf-8", "replace")


def parse(data: bytes) -> Elf:
    """Read the dynamic section. Raises ValueError (or struct.error) for what is not a 64-bit ELF file."""
    view = _View(data)
    entries = list(view.entries())
    table = dict(entries)
    strings = view.offset(table[_STRTAB]) if _STRTAB in table else 0

    def text(tag: int) -> str | None:
        return view.string(strings + table[tag]) if tag in table else None

    return Elf(
        machine=_MACHINES.get(view.machine, str(view.machine)),
        needed=tuple(view.string(strings + value) for tag, value in entries if tag == _NEEDED),
        soname=text(_SONAME),
        runpath=text(_RUNPATH) or text(_RPATH),
    )


def interpreter(data: bytes) -> str:
    """The path of the loader that a program asks for; empty where it asks for none."""
    return _View(data).loader


def _symbol_names(view: _View, table: dict[int, int]) -> Iterator[int]:
    # The symbol table has no length of its own; linkers put the string table right behind it.
    start, end = view.offset(table[_SYMTAB]), view.offset(table[_STRTAB])
    for at in range(start, end if end > start else start, table.get(_SYMENT, 24)):
        yield view.unpack("I", at)[0]


def with_runpath(data: bytes, runpath: str) -> bytes:
    """Return the file with its run path replaced by `runpath`, nothing moved.

    A linker may store one string inside the tail of another. Only the first bytes of the old run path
    are written over, and only where no other string of the dynamic section begins among them.

    Raises NoRoom.
    """
    view = _View(data)
    entries = list(view.entries())
    table = dict(entries)
    tag = _RUNPATH if _RUNPATH in table else _RPATH
    if tag not in table:
        raise NoRoom("it has no run path")
    strings = view.offset(table[_STRTAB])
    start = table[tag]
    old = view.string(strings + start).encode()
    new = runpath.encode() + b"\0"
    if old == new[:-1]:
        return data
    if len(new) > len(old) + 1:
        raise NoRoom(f"its run path has {len(old)} bytes, {len(new) - 1} are needed")
    starts = {value for t, value in entries if t in {_NEEDED, _SONAME, _RPATH, _RUNPATH}} - {start}
    symbols = set(_symbol_names(view, table))
    if start in symbols or any(start < other < start + len(new) for other in starts | symbols):
        raise NoRoom("the bytes of its run path are shared with another string")
    at = strings + start
    return data[:at] + new + data[at + len(new) :]


def glibc_needed(files: Iterable[bytes]) -> str:
    """The newest version of the GNU C library whose symbols any of the files names, such as "2.34"."""
    versions = {m for data in files for m in re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?=[.\0])", data)}
    return ".".join(map(str, max((int(a), int(b)) for a, b in versions))) if versions else ""


def without_home(data: bytes, prefix: str, stand_in: str) -> bytes:
    """Replace the folder part of each compiled-in `prefix` by `stand_in` and slashes, byte for byte.

    The last component stays where it is, because the linker may use it as another string (trap: a
    version `3.11.7` is stored as the tail of `…/versions/3.11.7`). Where there is no room, nothing changes.
    """
    head, _, _ = prefix.rstrip("/").rpartition("/")
    if len(head) < len(stand_in):
        return data
    filler = stand_in.encode() + b"/" * (len(head.encode()) - len(stand_in.encode()))
    return data.replace(prefix.encode(), filler + prefix.encode()[len(head.encode()) :])
