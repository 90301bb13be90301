"""Simulated CPUs: locate or fetch the static qemu program, and run a container under it.

The image does not change: the program is mounted into the container, and the container's command begins with
it. The package store keeps it under its hash, so a later replay needs no other copy. A copy from an archive
never runs outside a container.
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
SPARE = "Haswell"  # the CPU where an artifact needs AVX2, as torch's int8 kernels do
INSIDE = "/qemu"
FILE = "qemu-x86_64"

ADVICE = (
    "on Debian and Ubuntu it is fetched from apt's mirror, if that answers; otherwise set TIMEPROOF_QEMU to a"
    " static qemu-x86_64 of version 10 or newer"
)
_CPU = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_VERSION = re.compile(r"version (\d+)\.\S+.*")
# qemu 7.2 computes an LSTM wrong (by 0.6) on its Haswell, and correctly on its Nehalem.
_OLDEST = 10
_PT_INTERP = 3


@dataclass(frozen=True, slots=True)
class Emulator:
    """A static qemu-x86_64 on this machine, with the record of its bytes."""

    path: Path
    record: EmulatorRecord


@dataclass(frozen=True, slots=True)
class Simulated:
    """The CPU that the probe shall see."""

    emulator: Emulator
    cpu: str


def check_cpu(name: str) -> str:
    """Return `name` if it may be a CPU's name. Raises BadRequest."""
    if not _CPU.fullmatch(name):
        raise BadRequest(
            f"{name!r} is not the name of a CPU", advice="give a name such as Nehalem, Haswell or EPYC"
        )
    return name


def slowed(limits: Limits) -> Limits:
    """Lengthen the time limits for a simulated CPU, which is slower."""
    return replace(
        limits,
        artifact_seconds=limits.artifact_seconds * limits.simulated_factor,
        container_seconds=limits.container_seconds * limits.simulated_factor,
    )


def emulate(spec: RunSpec, simulated: Simulated, scratch: Path) -> RunSpec:
    """Let the emulator run the container's entry point.

    Args:
        scratch: a folder for a copy of the emulator; files of the package store are not executable.

    Raises DigestMismatch where the emulator's bytes are not the recorded ones.
    """
    record = simulated.emulator.record
    program = scratch / FILE
    with open(simulated.emulator.path, "rb", buffering=0) as source, open(program, "xb") as sink:
        digest, _ = Digest.of_stream(source, sink)
    if digest.hex != record.sha256:
        raise DigestMismatch(simulated.emulator.path, Digest(record.sha256), digest)
    program.chmod(0o755)
    return replace(
        spec,
        entrypoint=(INSIDE, "-cpu", check_cpu(simulated.cpu), *(spec.entrypoint or ENTRYPOINT)),
        mounts=(*spec.mounts, Mount(program, INSIDE)),
    )


def locate_or_fetch(progress: Progress = SILENT) -> Emulator:
    """Return this machine's own emulator; fetch it from the apt mirror, once, where there is none.

    The order: `$TIMEPROOF_QEMU`, then the one that was fetched before, then an installed one.

    Raises ToolMissing, saying what to do.
    """
    refused = []
    for path in _candidates():
        try:
            return _examine(path)
        except (ToolFailed, ToolMissing) as error:
            refused.append(error.message)
            if os.environ.get("TIMEPROOF_QEMU"):
                raise
    progress.step("Fetching qemu, once for this machine")
    folder = _fetch_folder()
    try:
        proc.run(["sh", image_file("qemu.sh"), folder], timeout=900.0, on_line=progress.detail)
    except ToolFailed as error:
        reasons = "; ".join([*refused, error.tail.strip() or error.message])
        raise ToolMissing("a static qemu-x86_64", advice=f"{ADVICE} ({reasons})") from error
    return _examine(folder / FILE)


def locate() -> Emulator | None:
    """Return this machine's own emulator; None where it would have to be fetched."""
    for path in _candidates():
        try:
            return _examine(path)
        except (ToolFailed, ToolMissing):
            continue
    return None


def _fetch_folder() -> Path:
    return cache_folder("qemu", platform.machine())


def _candidates() -> list[Path]:
    if chosen := os.environ.get("TIMEPROOF_QEMU"):
        return [Path(chosen)]
    installed = (shutil.which(name) for name in ("qemu-x86_64-static", FILE))
    return [p for p in (_fetch_folder() / FILE, *(Path(i) for i in installed if i)) if p.is_file()]


def _examine(path: Path) -> Emulator:
    """Run a program of this machine to learn its version, and hash its bytes."""
    if not path.is_file():
        raise ToolMissing(str(path), advice=ADVICE)
    result = proc.run([path, "--version"], timeout=60.0, advice=ADVICE)
    first = result.stdout.decode("utf-8", "replace").partition("\n")[0].strip()
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
    """Whether a 64-bit little-endian ELF needs no loader, so that it starts in an empty container."""
    with open(path, "rb") as stream:
        header = stream.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
            return False
        start, size, count = (*struct.unpack_from("<Q", header, 32), *struct.unpack_from("<HH", header, 54))
        stream.seek(start)
        table = stream.read(size * count)
    kinds = (struct.unpack_from("<I", table, at)[0] for at in range(0, len(table) - 3, size))
    return _PT_INTERP not in kinds


def store_in_archive(archive: Archive, emulator: Emulator) -> EmulatorRecord:
    """Put the emulator into the archive's package store, and return the record of it for the metadata."""
    store, record = PackageStore(archive.packages), emulator.record
    if not store.has(Digest(record.sha256), record.file):
        store.add_file(emulator.path, record.file, expected=Digest(record.sha256))
    return record


def read_from_archive(archive: Archive, record: EmulatorRecord) -> Emulator:
    """Return the emulator that the archive holds, after hashing its bytes.

    Raises:
        Missing / DigestMismatch / NotRegular: its file is not the recorded one.
        ToolMissing: it is a program for another architecture than this machine's.
    """
    if record.machine != platform.machine():
        raise ToolMissing(
            f"a qemu-x86_64 for {platform.machine()}",
            advice=f"the archive holds {record.version} for {record.machine}; {ADVICE}",
        )
    path = PackageStore(archive.packages).verified(Digest(record.sha256), record.file)
    return Emulator(path, record)


def recorded_emulator(archive: Archive, metadata: Metadata, sha256: object = None) -> Emulator:
    """Return the emulator that simulated CPUs for an artifact; this machine's own where that can't run here.

    Args:
        sha256: the digest of one of the recorded emulators; None for the first.

    Raises:
        BadArchive: the archive's copy is not the recorded one.
        ToolMissing: this machine has no emulator, and the archive has none for it.
    """
    records = [e for e in metadata.emulators if sha256 in {None, e.sha256}]
    if records:
        archive.fetch(emulator_claims(metadata))
        try:
            return read_from_archive(archive, records[0])
        except ToolMissing:
            pass
    if (emulator := locate()) is not None:
        return emulator
    raise ToolMissing("a static qemu-x86_64", advice=ADVICE)
