"""Conda packages that no honest tool writes: metadata and files as a stranger wants them."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard


def member(name: str, data: bytes = b"", *, mode: int = 0o644, link: str = "", kind: bytes = b"") -> Any:
    """A tar member, and its bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.linkname = len(data), mode, link
    info.type = kind or (tarfile.SYMTYPE if link else tarfile.REGTYPE)
    return info, data


def _tar(members: Sequence[Any]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return zstandard.ZstdCompressor(level=1).compress(out.getvalue())


def write_package(
    folder: Path,
    members: Sequence[Any],
    *,
    name: str = "python",
    paths: Sequence[dict[str, Any]] | None = None,
    subdir: str = "linux-64",
    more: Mapping[str, bytes] | None = None,
    **index: Any,
) -> Path:
    """Write a `.conda` package of exactly these members; `paths` are the rows of its paths.json."""
    if paths is None:
        paths = [
            {"_path": m.name, "path_type": "softlink" if m.issym() else "hardlink"}
            for m, _ in members
            if m.isreg() or m.issym()
        ]
    about = {
        "name": name,
        "version": "3.11.7",
        "build": "0",
        "build_number": 0,
        "depends": [],
        "subdir": subdir,
        **index,
    }
    info = [
        member("info/index.json", json.dumps(about).encode()),
        member("info/paths.json", json.dumps({"paths": list(paths), "paths_version": 1}).encode()),
        member("info/files", "".join(f"{p['_path']}\n" for p in paths).encode()),
        member("info/about.json", b"{}"),
        *(member(f"info/{name}", data) for name, data in (more or {}).items()),
    ]
    path = folder / f"{name}-3.11.7-0.conda"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        archive.writestr(f"pkg-{path.stem}.tar.zst", _tar(members))
        archive.writestr(f"info-{path.stem}.tar.zst", _tar(info))
    return path


def altered(package: Path, folder: Path, changes: Mapping[str, bytes]) -> Path:
    """The same `.conda` package with other bytes in some files, and no hashes that say so."""
    from timeproof.environments.conda.package_format import read_info

    documents = read_info(package, "info/index.json", "info/paths.json")
    rows = [
        {k: v for k, v in row.items() if k not in {"sha256", "size_in_bytes"}}
        for row in documents["info/paths.json"]["paths"]
    ]
    members = []
    with zipfile.ZipFile(package) as archive:
        part = next(n for n in archive.namelist() if n.startswith("pkg-"))
        with (
            archive.open(part) as raw,
            zstandard.ZstdDecompressor().stream_reader(raw) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            for info in tar:
                file = tar.extractfile(info) if info.isreg() else None
                data = changes.get(info.name, b"" if file is None else file.read())
                info.size = len(data)
                members.append((info, data))
    index = documents["info/index.json"]
    return write_package(
        folder, members, paths=rows, **{k: v for k, v in index.items() if k in {"subdir", "version", "build"}}
    )
