"""The user's cache folder: what is in it can be made again. Creates nothing."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*names: str) -> Path:
    """Return `timeproof/<names…>` in the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`)."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root, "timeproof", *names)
