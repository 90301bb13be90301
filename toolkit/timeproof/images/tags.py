"""What an environment's image is called in an engine. Alone, so that a warm replay imports no builder."""

from __future__ import annotations


def tag(folder: str) -> str:
    """Give the name of an environment's image: `timeproof/<name>:<12 of the lock>`."""
    name, _, short = folder.rpartition("-")
    return f"timeproof/{name}:{short}"
