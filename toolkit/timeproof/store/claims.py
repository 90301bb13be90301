"""What a document says of a file's bytes, and whether the bytes are those. Knows no document."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from timeproof.base.digests import Digest
from timeproof.base.paths import open_regular
from timeproof.errors import BadArchive, DigestMismatch, SizeMismatch, Unreadable

_POOL_FROM = 1 << 20  # bytes of all files, from which on several are hashed at once


@dataclass(frozen=True, slots=True)
class Claim:
    """What some document says of one file's bytes. `path` is relative to the archive's root."""

    path: str
    size: int | None  # bytes; None where only the digest is stated
    sha256: str


def check_claim(root: Path, claim: Claim) -> BadArchive | None:
    """Hash one file; None where its bytes are the claimed ones. Memory is flat."""
    try:
        with open_regular(root, claim.path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if claim.size is not None and size != claim.size:
                return SizeMismatch(root / claim.path, claim.size, size)
            digest, size = Digest.of_stream(stream)
    except BadArchive as error:
        return error
    except OSError as error:
        return Unreadable(root / claim.path, error)
    if claim.size is not None and size != claim.size:
        return SizeMismatch(root / claim.path, claim.size, size)
    if digest.hex != claim.sha256:
        return DigestMismatch(root / claim.path, Digest(claim.sha256), digest)
    return None


def check_claims(root: Path, claims: Sequence[Claim], *, workers: int | None = None) -> list[BadArchive]:
    """Check every claim, the largest first, on all cores."""
    ordered = sorted(claims, key=lambda c: -(c.size or 0))
    if len(ordered) < 2 or sum(c.size or 0 for c in ordered) < _POOL_FROM:
        results = [check_claim(root, c) for c in ordered]
    else:
        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            results = list(pool.map(lambda c: check_claim(root, c), ordered))
    return sorted((r for r in results if r is not None), key=lambda e: e.path)
