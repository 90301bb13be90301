"""Lays an OCI archive (a tar, as it comes in pieces) out as a folder, every blob checked against its name."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, cast

from timeproof.base import strictjson
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import open_regular
from timeproof.errors import DigestMismatch, Malformed

_PIECE = 1 << 20
_ARCHIVE = "the image's archive"  # what messages call it


class _Pieces:
    """A file that is read out of pieces of bytes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def lay_out(archive: Iterable[bytes], layout: Path) -> None:
    """Write the members of an OCI archive into the folder `layout`, which is made.

    Raises Malformed, DigestMismatch; OSError where the disk refuses.
    """
    (layout / "blobs" / "sha256").mkdir(parents=True)
    try:
        with tarfile.open(fileobj=cast("Any", _Pieces(archive)), mode="r|", bufsize=_PIECE) as tar:
            for member in tar:
                if not member.isdir():
                    _lay_out_member(tar, member, layout)
    except (tarfile.TarError, EOFError, RecursionError, OverflowError) as error:
        raise Malformed(_ARCHIVE, [f"not a tar archive: {error}"]) from error


def _lay_out_member(tar: tarfile.TarFile, member: tarfile.TarInfo, layout: Path) -> None:
    name = member.name.removeprefix("./")
    *folder, last = name.split("/")
    stream = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if stream is None or folder not in ([], ["blobs", "sha256"]) or last in {"", ".", ".."} or "\0" in name:
        raise Malformed(_ARCHIVE, [f"{name[:200]!r} belongs to no OCI archive"])
    if (layout / name).exists():
        raise Malformed(_ARCHIVE, [f"{name!r} is in it twice"])
    digest = _copy(stream, layout / name)
    if folder and digest.hex != last:
        raise DigestMismatch(name, f"sha256:{last}", digest)


def _copy(stream: IO[bytes], path: Path) -> Digest:
    state = hashlib.sha256()
    with path.open("xb") as file:
        while piece := stream.read(_PIECE):
            state.update(piece)
            file.write(piece)
    return Digest(state.hexdigest())


def manifests(layout: Path) -> list[str]:
    """The digests of the manifests that the layout's index lists. Raises Malformed, Missing."""
    path = layout / "index.json"
    with open_regular(layout, path.name) as stream:
        index = strictjson.loads(stream.read(LIMITS.json_bytes + 1), path)
    try:
        return [str(Digest.parse(str(entry["digest"]))) for entry in index["manifests"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(path, [f"not an image index: {error}"]) from error
