"""What a pickle would make: the classes that it names, read from its opcodes. Nothing is unpickled."""

from __future__ import annotations

import bz2
import io
import lzma
import pickletools
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

_READ = 4 << 20  # bytes of a pickle that are looked at: the classes of a model stand at its beginning
_NAMES = 200  # classes that are remembered
# The number with which torch.save begins its old files.
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
# What plain containers and tensors are made by.
_PLAIN = ("builtins", "collections", "copy_reg", "copyreg", "_codecs", "__builtin__", "numpy")
_TENSORS = ("torch._utils", "torch", "torch.storage", "torch.serialization", "torch._tensor")


@dataclass(frozen=True, slots=True)
class Pickle:
    """The classes that a pickle names, in their order, and whether torch.save wrote it."""

    names: tuple[tuple[str, str], ...]
    is_torch: bool

    @property
    def telling(self) -> tuple[str, str] | None:
        """The first class that is no container and no tensor."""
        for module, name in self.names:
            if module.partition(".")[0] not in _PLAIN and module not in _TENSORS:
                return module, name
        return None

    @property
    def holds_tensors_alone(self) -> bool:
        return self.telling is None

    @property
    def title(self) -> str:
        return ".".join(self.telling) if self.telling else ""

    @property
    def package(self) -> str:
        return self.telling[0].partition(".")[0] if self.telling else ""


def looked_into(path: Path) -> Pickle | None:
    """Read the names in a pickle, in one that is compressed, or in that of a PyTorch file.

    Returns None where it is none. Raises OSError.
    """
    zipped = zipfile.is_zipfile(path)
    data = _of_zip(path) if zipped else _beginning(path)
    if not data or data[0] not in b"\x80(c]}":
        return None
    return _read(data, zipped)


def _read(data: bytes, is_torch: bool) -> Pickle | None:
    names: list[tuple[str, str]] = []
    strings: list[str] = []
    stopped = False
    try:
        for code, value, _ in pickletools.genops(io.BytesIO(data)):
            if code.name == "GLOBAL" and isinstance(value, str):
                module, _, name = value.partition(" ")
                names.append((module, name))
            elif code.name == "STACK_GLOBAL" and len(strings) > 1:
                names.append((strings[-2], strings[-1]))
            elif isinstance(value, str):
                strings = [*strings[-1:], value]
            elif value == _TORCH_MAGIC:
                return _behind_magic(data)
            if len(names) >= _NAMES:
                break
            stopped = code.name == "STOP"
    except (ValueError, IndexError, OverflowError):  # no pickle, or cut off where reading ended
        pass
    return Pickle(tuple(dict.fromkeys(names)), is_torch) if names or stopped else None


def _behind_magic(data: bytes) -> Pickle:
    """Read the fourth pickle of a file that an old torch.save wrote: the object's."""
    stream = io.BytesIO(data)
    for _ in range(3):
        for _ in pickletools.genops(stream):
            pass
    return _read(data[stream.tell() :], True) or Pickle((), True)


def _of_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            if name.rpartition("/")[2] == "data.pkl":
                with packed.open(name) as stream:
                    return stream.read(_READ)
    return b""


def _beginning(path: Path) -> bytes:
    """The first bytes, unpacked where joblib has compressed them."""
    with path.open("rb") as stream:
        data = stream.read(_READ)
    try:
        if data[:2] == b"\x1f\x8b":
            return zlib.decompressobj(31).decompress(data, _READ)
        if data[:1] == b"\x78":
            return zlib.decompressobj().decompress(data, _READ)
        if data[:3] == b"BZh":
            return bz2.BZ2Decompressor().decompress(data, _READ)
        if data[:6] == b"\xfd7zXZ\x00" or data[:3] == b"\x5d\x00\x00":
            return lzma.LZMADecompressor().decompress(data, _READ)
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        return b""
    return data
