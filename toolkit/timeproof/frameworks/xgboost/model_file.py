"""What an XGBoost model file says of itself, by its bytes: it is not loaded."""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path

# The attribute as JSON and as UBJSON spell it; the latter with the length of the string in between.
_BEST = re.compile(rb'"?best_iteration"?(?:\s*:\s*"|S[iUIlL][\x00-\xff]{1,8}?)(\d{1,9})')


def best_iteration(path: Path) -> int | None:
    """Read where the training stopped from the file's bytes; it is not loaded."""
    with path.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return None
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _BEST.search(data)
            return None if found is None else int(found[1])


def format_of(path: Path) -> str:
    """JSON and UBJSON both begin with a brace; a name's type byte follows in JSON alone as a quote."""
    with path.open("rb") as stream:
        head = stream.read(64).lstrip()
    return "json" if head[1:].lstrip().startswith(b'"') else "ubj"
