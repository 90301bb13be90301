"""How environments and their images may be called. Alone, so that a warm replay imports no builder."""

from __future__ import annotations

import re

from timeproof.errors import BadRequest

# What a folder, a bake target and an image's name in an engine can all be called.
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


def check_name(name: str) -> str:
    """Return `name` if an environment can be called so. Raises BadRequest."""
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise BadRequest(
            f"{name!r} can't be an environment's name",
            advice="rename its folder: small letters and digits, with single dots, dashes or underscores",
        )
    return name


def tag(folder: str) -> str:
    """Give the name of an environment's image: `timeproof/<name>:<12 of the lock>`."""
    name, _, short = folder.rpartition("-")
    return f"timeproof/{name}:{short}"
