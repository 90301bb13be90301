"""What a pickle would make: the classes that it names, read from its opcodes. Nothing is unpickled."""

from __future__ import annotations

import bz2
import io
import lzma
import pickletools
import zlib
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

READ = 4 << 20  # bytes of a pickle that are looked at: the classes of a model stand at its beginning
_NAMES = 200  # classes that are remembered
# What plain containers and arrays are made by.
_PLAIN = ("builtins", "collections", "copy_reg", "copyreg", "_codecs", "__builtin__", "numpy")


@dataclass(frozen=True, slots=True)
class Pickle:
    """The classes that a pickle names, in their order; `number`: the first integer in it, 0 for none."""

    names: tuple[tuple[str, str], ...]
    number: int = 0

    @property
    def main_class(self) -> tuple[str, str] | None:
        """The module and the name of the first class that is no container and no array."""
        for module, name in self.names:
            if module.partition(".")[0] not in _PLAIN and not name.startswith("_"):
                return module, name
        return None

    @property
    def title(self) -> str:
        return ".".join(self.main_class) if self.main_class else ""

    @property
    def package(self) -> str:
        return self.main_class[0].partition(".")[0] if self.main_class else ""

    def without(self, modules: Container[str]) -> Pickle:
        """The same, less the classes of some modules."""
        return Pickle(tuple(name for name in self.names if name[0] not in modules), self.number)


def read_pickle(path: Path) -> Pickle | None:
    """Read the names in a pickle, or in one that is compressed. None where it is none. Raises OSError."""
    return parse_pickle(_beginning(path))


def parse_pickle(data: bytes) -> Pickle | None:
    """Read the names in a pickle's bytes, which may be cut off. None where it is none."""
    if not data or data[0] not in b"\x80(c]}":
        return None
    names: list[tuple[str, str]] = []
    strings: list[str] = []
    number = 0
    complete = False
    try:
        for code, value, _ in pickletools.genops(io.BytesIO(data)):
            if code.name == "GLOBAL" and isinstance(value, str):
                module, _, name = value.partition(" ")
                names.append((module, name))
            elif code.name == "STACK_GLOBAL" and len(strings) > 1:
                names.append((strings[-2], strings[-1]))
            elif isinstance(value, str):
                strings = [*strings[-1:], value]
            elif isinstance(value, int) and code.name.startswith(("INT", "LONG", "BININT")):
                number = number or value
            if len(names) >= _NAMES:
                break
            complete = code.name == "STOP"
    except (ValueError, IndexError, OverflowError):  # no pickle, or cut off where reading ended
        pass
    return Pickle(tuple(dict.fromkeys(names)), number) if names or complete else None


def skip_pickles(data: bytes, count: int) -> bytes:
    """What lies behind the first `count` pickles of a file. Raises ValueError where they are not whole."""
    stream = io.BytesIO(data)
    for _ in range(count):
        for _ in pickletools.genops(stream):
            pass
    return data[stream.tell() :]


def _beginning(path: Path) -> bytes:
    """The first bytes, unpacked where joblib has compressed them."""
    with path.open("rb") as stream:
        data = stream.read(READ)
    try:
        if data[:2] == b"\x1f\x8b":
            return zlib.decompressobj(31).decompress(data, READ)
        if data[:1] == b"\x78":
            return zlib.decompressobj().decompress(data, READ)
        if data[:3] == b"BZh":
            return bz2.BZ2Decompressor().decompress(data, READ)
        if data[:6] == b"\xfd7zXZ\x00" or data[:3] == b"\x5d\x00\x00":
            return lzma.LZMADecompressor().decompress(data, READ)
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        return b""
    return data
