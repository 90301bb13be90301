"""Which version a file's name belongs to, and which versions a writer keeps. Text in, text out."""

from __future__ import annotations

import re

from timeproof.base import atomic

# The tag that the names of a framework's files carry.
TAG = re.compile(r"[a-z][a-z0-9]{0,31}")
OWNED = re.compile(rf"(?:metadata|model|reference|source|witness)_({TAG.pattern})_v([1-9]\d*)(?:[._].*)?")
_STAGED = re.compile(rf"{re.escape(atomic.STAGING)}v(\d+)(?:to(\d+))?-")


def owned_version(name: str, tag: str = "") -> int | None:
    """The version that a file or folder belongs to; None for any other name.

    Args:
        tag: of that tag only; empty for any.
    """
    match = OWNED.fullmatch(name)
    return int(match[2]) if match and tag in ("", match[1]) else None


def staged_versions(name: str) -> range:
    """The versions that a staging folder or a reservation of that name stands for; none for others."""
    match = _STAGED.match(name)
    return range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)


def staging_label(first: int, count: int) -> str:
    """What the name of a staging folder says of its versions."""
    return f"v{first}" if count == 1 else f"v{first}to{first + count - 1}"


def reservation_name(version: int) -> str:
    """The object by which a writer reserves one version in a bucket. `staged_versions` reads it."""
    return f"{atomic.STAGING}v{version}-reserved"


def metadata_name(tag: str, version: int) -> str:
    return f"metadata_{tag}_v{version}.json"
