"""Simulated CPUs: the static qemu program, where it comes from, and a container run under it.

The image stays the recorded one: the program is mounted into the container, and is the first word of what
runs there. It is known by its hash and kept in the package store, so a later replay needs no other copy.
An archive's copy is never run outside a container.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from timeproof.base import proc
from timeproof.base.cachedir import cache_folder
from timeproof.base.digests import Digest
from timeproof.base.limits import Limits
from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Mount, RunSpec
from timeproof.errors import BadRequest, DigestMismatch, ToolFailed, ToolMissing
from timeproof.images.probe_files import ENTRYPOINT
from timeproof.images.resources import image_file
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import emulator_claims
from timeproof.store.schema.v1 import EmulatorRecord, Metadata

PROVED = ("Nehalem", "Haswell")  # the CPUs of a proof: without AVX, and with AVX2 and FMA
WITNESS = "Nehalem"  # the CPU of an emulated witness
SPARE = "Haswell"  # the same, for what does not run without AVX2: torch's int8 kernels
INSIDE = "/qemu"
FILE = "qemu-x86_64"

ADVICE = (
    "on Debian and Ubuntu it is fetched where apt's mirror answers; else set TIMEPROOF_QEMU to a static"
    " qemu-x86_64 of version 10 or newer"
)
_CPU = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_VERSION = re.compile(r"version (\d+)\.\S+.*")
# 7.2 computes an LSTM wrong (by 0.6) on its Haswell, and is right on its Nehalem.
_OLDEST = 10
_PT_INTERP = 3


@dataclass(frozen=True, slots=True)
class Emulator:
    """A static qemu-x86_64 on this machine, known by its bytes."""

    path: Path
    record: EmulatorRecord


@dataclass(frozen=True, slots=True)
class Simulated:
    """A CPU that the probe shall believe to run on."""

    emulator: Emulator
    cpu: str


def check_cpu(name: str) -> str:
    """Return `name` if it may be a CPU's name. Raises BadRequest."""
    if not _CPU.fullmatch(name):
        raise BadRequest(f"{name!r} is no CPU's name", advice="such as Nehalem, Haswell or EPYC")
    return name


def slowed(limits: Limits) -> Limits:
    """The same limits for a simulated CPU, which takes longer over everything."""
    return replace(
        limits,
        artifact_seconds=limits.artifact_seconds * limits.simulated_factor,
        container_seconds=limits.container_seconds * limits.simulated_factor,
    )


def emulated(spec: RunSpec, simulated: Simulated, scratch: Path) -> RunSpec:
    """The same container, its entry point run by the emulator.

    Args:
        scratch: a folder for a copy of the emulator: files of the package store are not executable.

    Raises DigestMismatch where the emulator's bytes are not the recorded ones.
    """
    told = simulated.emulator.record
    program = scratch / FILE
    with open(simulated.emulator.path, "rb", buffering=0) as source, open(program, "xb") as sink:
        digest, _ = Digest.of_stream(source, sink)
    if digest.hex != told.sha256:
        raise DigestMismatch(simulated.emulator.path, Digest(told.sha256), digest)
    program.chmod(0o755)
    return replace(
        spec,
        entrypoint=(INSIDE, "-cpu", check_cpu(simulated.cpu), *(spec.entrypoint or ENTRYPOINT)),
        mounts=(*spec.mounts, Mount(program, INSIDE)),
    )


def locate_or_fetch(progress: Progress = SILENT) -> Emulator:
    """This machine's own emulator; where there is none, it is fetched from the apt mirror, once.

    Looked for: `$TIMEPROOF_QEMU`, then what was fetched before, then what is installed.

    Raises ToolMissing, saying what to do.
    """
    refused = []
    for path in _places():
        try:
            return _examined(path)
        except (ToolFailed, ToolMissing) as error:
            refused.append(error.message)
            if os.environ.get("TIMEPROOF_QEMU"):
                raise
    progress.step("Fetching qemu, once for this machine")
    folder = _fetched()
    try:
        proc.run(["sh", image_file("qemu.sh"), folder], timeout=900.0, on_line=progress.detail)
    except ToolFailed as error:
        said = "; ".join([*refused, error.tail.strip() or error.message])
        raise ToolMissing("a static qemu-x86_64", advice=f"{ADVICE} ({said})") from error
    return _examined(folder / FILE)


def locate() -> Emulator | None:
    """This machine's own emulator, if it is at hand without fetching anything."""
    for path in _places():
        try:
            return _examined(path)
        except (ToolFailed, ToolMissing):
            continue
    return None


def _fetched() -> Path:
    return cache_folder("qemu", platform.machine())


def _places() -> list[Path]:
    if chosen := os.environ.get("TIMEPROOF_QEMU"):
        return [Path(chosen)]
    installed = (shutil.which(name) for name in ("qemu-x86_64-static", FILE))
    return [p for p in (_fetched() / FILE, *(Path(i) for i in installed if i)) if p.is_file()]


def _examined(path: Path) -> Emulator:
    """Ask a program of this machine for its version, and read its bytes once."""
    if not path.is_file():
        raise ToolMissing(str(path), advice=ADVICE)
    told = proc.run([path, "--version"], timeout=60.0, advice=ADVICE)
    first = told.stdout.decode("utf-8", "replace").partition("\n")[0].strip()
    version = _VERSION.search(first)
    if "qemu-x86_64" not in first or version is None or int(version[1]) < _OLDEST:
        raise ToolMissing(
            f"qemu-x86_64 of version {_OLDEST} or newer", advice=f"{path} is {first!r}; {ADVICE}"
        )
    if not _is_static(path):
        raise ToolMissing("a static qemu-x86_64", advice=f"{path} needs libraries; {ADVICE}")
    with open(path, "rb", buffering=0) as stream:
        digest, size = Digest.of_stream(stream)
    record = EmulatorRecord(
        file=FILE,
        version=version[0].removeprefix("version "),
        machine=platform.machine(),
        size=size,
        sha256=digest.hex,
    )
    return Emulator(path, record)


def _is_static(path: Path) -> bool:
    """Whether a 64-bit little-endian ELF asks for no loader: it starts in a container that holds nothing."""
    with open(path, "rb") as stream:
        header = stream.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
            return False
        start, size, count = (*struct.unpack_from("<Q", header, 32), *struct.unpack_from("<HH", header, 54))
        stream.seek(start)
        table = stream.read(size * count)
    kinds = (struct.unpack_from("<I", table, at)[0] for at in range(0, len(table) - 3, size))
    return _PT_INTERP not in kinds


def keep(archive: Archive, emulator: Emulator) -> EmulatorRecord:
    """Put the emulator into the archive's package store, and give what a document says of it."""
    store, told = PackageStore(archive.packages), emulator.record
    if not store.has(Digest(told.sha256), told.file):
        store.add_file(emulator.path, told.file, expected=Digest(told.sha256))
    return told


def kept(archive: Archive, record: EmulatorRecord) -> Emulator:
    """The emulator that the archive keeps, its bytes hashed.

    Raises:
        Missing / DigestMismatch / NotRegular: it is not there as recorded.
        ToolMissing: it is a program of another architecture than this machine's.
    """
    if record.machine != platform.machine():
        raise ToolMissing(
            f"a qemu-x86_64 for {platform.machine()}",
            advice=f"the archive keeps {record.version} for {record.machine}; {ADVICE}",
        )
    path = PackageStore(archive.packages).verified(Digest(record.sha256), record.file)
    return Emulator(path, record)


def recorded_emulator(archive: Archive, metadata: Metadata, sha256: object = None) -> Emulator:
    """The emulator that simulated CPUs for an artifact; this machine's own where that can't run here.

    Args:
        sha256: which of them; the first where None.

    Raises:
        BadArchive: its bytes are not there as recorded.
        ToolMissing: none is at hand.
    """
    told = [e for e in metadata.emulators if sha256 in {None, e.sha256}]
    if told:
        archive.fetch(emulator_claims(metadata))
        try:
            return kept(archive, told[0])
        except ToolMissing:
            pass
    if (own := locate()) is not None:
        return own
    raise ToolMissing("a static qemu-x86_64", advice=ADVICE)
