"""A program that passes for the CPU emulator: a static ELF file that nothing runs."""

from __future__ import annotations

import platform
import struct
from pathlib import Path
from typing import Any

from timeproof.base.digests import Digest
from timeproof.runs.cpu_emulator import Emulator
from timeproof.store.schema.v1 import EmulatorRecord

HEADER = b"\x7fELF\x02\x01".ljust(32, b"\0") + struct.pack("<Q", 64) + bytes(14) + struct.pack("<HH", 56, 2)


def program(*kinds: int) -> bytes:
    """A 64-bit ELF with two program headers of these kinds; it prints what qemu would."""
    return HEADER.ljust(64, b"\0") + b"".join(struct.pack("<I", kind).ljust(56, b"\0") for kind in kinds)


STATIC, DYNAMIC = program(1, 6), program(1, 3)


def emulator(folder: Path, data: bytes = STATIC, **changed: object) -> Emulator:
    path = folder / "qemu-x86_64"
    path.write_bytes(data)
    fields: dict[str, Any] = {
        "file": path.name,
        "version": "10.0.2",
        "machine": platform.machine(),
        "size": len(STATIC),
        "sha256": Digest.of(STATIC).hex,
    }
    return Emulator(path, EmulatorRecord(**fields | changed))
