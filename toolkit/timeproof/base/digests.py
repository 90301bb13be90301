"""SHA-256 digests: the one type for them, and the one way to take them of bytes and files.

Knows nothing of what the bytes mean.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import BinaryIO, Protocol

_HEX = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


class _Sink(Protocol):
    def write(self, data: memoryview, /) -> object: ...


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A SHA-256, as 64 lower-case hex digits. `Digest.parse(str(d)) == d`."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise ValueError(f"{self.hex!r} is not 64 lower-case hex digits")

    def __str__(self) -> str:
        return f"sha256:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:<64 hex>` or the bare 64 hex. Raises ValueError."""
        return cls(text.removeprefix("sha256:"))

    @classmethod
    def of(cls, data: bytes | memoryview) -> Digest:
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_stream(cls, stream: BinaryIO, sink: _Sink | None = None) -> tuple[Digest, int]:
        """Hash the rest of `stream`, copying it to `sink` on the way.

        Memory stays flat: one buffer of 1 MiB. A sink that takes less than it is given, as an
        unbuffered file may, is given the rest. Returns the digest and the number of bytes.
        """
        state = hashlib.sha256()
        buffer = memoryview(bytearray(_CHUNK))
        size = 0
        while n := stream.readinto(buffer):  # type: ignore[attr-defined]  # every raw file has it
            state.update(buffer[:n])
            unwritten = buffer[:n]
            while sink is not None and unwritten:
                taken = sink.write(unwritten)
                unwritten = unwritten[taken if isinstance(taken, int) else len(unwritten) :]
            size += n
        return cls(state.hexdigest()), size
