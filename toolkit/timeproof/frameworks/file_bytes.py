"""A model file, as far as its bytes are looked at: nothing is loaded, unpickled or run."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from timeproof.frameworks.pickles import Pickle, read_pickle

_HEAD = 4096  # bytes


@dataclass(frozen=True)
class ModelFile:
    """A file, as far as it is looked at: `head` is its first bytes. The rest is read when it is asked for.

    A folder of files that are one model has no bytes of its own: its `head` is empty.
    """

    path: Path
    head: bytes
    size: int  # bytes

    @classmethod
    def at(cls, path: Path) -> ModelFile:
        """Read the beginning of a file; of a folder, nothing. Raises OSError."""
        if path.is_dir():
            return cls(path, b"", 0)
        with path.open("rb") as stream:
            return cls(path, stream.read(_HEAD), path.stat().st_size)

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()

    @property
    def text(self) -> bytes:
        """The head, without blanks before it."""
        return self.head.lstrip()

    @property
    def is_zip(self) -> bool:
        return self.head.startswith(b"PK\x03\x04")

    @cached_property
    def members(self) -> frozenset[str] | None:
        """The names in a zip file; None where it is none, or is damaged."""
        try:
            with zipfile.ZipFile(self.path) as packed:
                return frozenset(packed.namelist())
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
            return None

    @cached_property
    def pickle(self) -> Pickle | None:
        """The classes that it names, where it is a pickle."""
        return None if self.is_zip else read_pickle(self.path)
