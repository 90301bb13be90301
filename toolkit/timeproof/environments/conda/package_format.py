"""The `.conda` package format: written so that equal content is equal bytes, and read for its metadata.

A `.conda` file is a ZIP of two zstd tars, `info-*` (metadata) and `pkg-*` (files). Nothing of the
clock, the user or the machine goes in. The older `.tar.bz2` is only read.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from timeproof.base import atomic
from timeproof.base.clock import EPOCH, EPOCH_IN_ZIP
from timeproof.base.strictjson import dumps
from timeproof.errors import LockFailed

PLACEHOLDER = "/opt/timeproof_placeholder_for_the_prefix_of_this_environment"
_LEVEL = 12
_METADATA_BYTES = 256 * 2**20  # bytes of one metadata file inside a package


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a package: its relative path, and either its bytes or where it links to."""

    path: str
    data: bytes = b""
    executable: bool = False
    link: str | None = None
    placeholder: bool = False  # the text holds PLACEHOLDER, which the installer replaces by the real prefix


def tar_entry(
    name: str, *, size: int = 0, executable: bool = False, kind: bytes = tarfile.REGTYPE
) -> tarfile.TarInfo:
    """A tar header that knows no owner and no clock."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mtime = size, kind, EPOCH
    info.mode = 0o755 if executable or kind in {tarfile.DIRTYPE, tarfile.SYMTYPE} else 0o644
    return info


def _tar(entries: Sequence[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in sorted(entries, key=lambda e: e.path):
            if entry.link is not None:
                info = tar_entry(entry.path, kind=tarfile.SYMTYPE)
                info.linkname = entry.link
                tar.addfile(info)
            else:
                info = tar_entry(entry.path, size=len(entry.data), executable=entry.executable)
                tar.addfile(info, io.BytesIO(entry.data))
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(out.getvalue())


def _paths(entries: Sequence[Entry]) -> dict[str, object]:
    resolved = {e.path: e for e in entries}
    rows: list[dict[str, object]] = []
    for entry in sorted(entries, key=lambda e: e.path):
        content = entry.data
        if entry.link is not None:
            target = str(Path(entry.path).parent / entry.link)
            content = resolved[target].data if target in resolved else b""
        row: dict[str, object] = {
            "_path": entry.path,
            "path_type": "hardlink" if entry.link is None else "softlink",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_in_bytes": len(content),
        }
        if entry.placeholder:
            row |= {"file_mode": "text", "prefix_placeholder": PLACEHOLDER}
        rows.append(row)
    return {"paths": rows, "paths_version": 1}


def write(
    path: Path, index: Mapping[str, object], entries: Sequence[Entry], about: Mapping[str, object]
) -> None:
    """Write a `.conda` package; the same arguments give the same bytes.

    Args:
        index: info/index.json: name, version, build, build_number, subdir, depends, …
    """
    stem = path.name.removesuffix(".conda")
    info = [
        Entry("info/about.json", dumps(dict(about))),
        Entry("info/files", "".join(f"{p}\n" for p in sorted(e.path for e in entries)).encode()),
        Entry("info/index.json", dumps(dict(index))),
        Entry("info/paths.json", dumps(_paths(entries))),
    ]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (
            ("metadata.json", b'{"conda_pkg_format_version": 2}'),
            (f"pkg-{stem}.tar.zst", _tar(entries)),
            (f"info-{stem}.tar.zst", _tar(info)),
        ):
            member = zipfile.ZipInfo(name, EPOCH_IN_ZIP)
            member.external_attr = 0o644 << 16
            member.create_system = 3
            archive.writestr(member, data)
    atomic.write(path, out.getvalue())


def _search(stream: IO[bytes], wanted: set[str], mode: str) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]  # mode is "r|" or "r:"
        for member in tar:
            if member.name in wanted and member.isfile():
                if member.size > _METADATA_BYTES:
                    raise ValueError(f"{member.name} has {member.size} bytes")
                file = tar.extractfile(member)
                assert file is not None
                contents[member.name] = file.read()
                if len(contents) == len(wanted):
                    break
    return contents


def read_info(path: Path, *names: str) -> dict[str, Any]:
    """Read JSON files such as `info/index.json` out of a `.conda` or `.tar.bz2` package.

    Raises LockFailed where the package can't be read or lacks one.
    """
    wanted = set(names)
    try:
        if path.name.endswith(".conda"):
            with zipfile.ZipFile(path) as archive:
                part = next(n for n in archive.namelist() if n.startswith("info-") and n.endswith(".tar.zst"))
                with archive.open(part) as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
                    contents = _search(stream, wanted, "r|")
        else:
            with bz2.open(path) as stream:
                contents = _search(stream, wanted, "r|")
        if missing := wanted - set(contents):
            raise ValueError(f"no {', '.join(sorted(missing))} in it")
        return {name: json.loads(contents[name]) for name in names}
    except (
        ValueError,
        OSError,
        EOFError,
        StopIteration,
        tarfile.TarError,
        zipfile.BadZipFile,
        zstandard.ZstdError,
    ) as error:
        raise LockFailed(f"{path.name} is not a readable conda package: {error}") from error


def hashes(path: Path) -> tuple[str, str]:
    """The MD5 (conda's schema wants one) and SHA-256 of a file, as hex."""
    md5, sha = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            md5.update(chunk)
            sha.update(chunk)
    return md5.hexdigest(), sha.hexdigest()
