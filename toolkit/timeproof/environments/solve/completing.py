"""What is the same of every solved lock: it is checked, its packages are fetched, and it is dated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timeproof.base.progress import Progress
from timeproof.environments.fetch import fetch_packages
from timeproof.environments.lock.dating import dated
from timeproof.environments.lock.document import Lock
from timeproof.environments.lock.reading import check_schema, read_lock
from timeproof.environments.solve.allowed import Allowed, read_environment
from timeproof.errors import NotFound
from timeproof.store.packages import PackageStore


def read_request(path: Path, allowed: Allowed) -> tuple[bytes, dict[str, Any]]:
    """Read an environment.yml: its bytes, and its fields. Raises NotFound, LockFailed, Malformed."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(
            f"there is no {path}", advice="write an environment.yml that says what is wanted"
        ) from None
    return data, read_environment(data, path, allowed)


def complete(lock: Lock, store: PackageStore, progress: Progress) -> Lock:
    """Check a lock as a stranger's, fetch its packages, and date it.

    Raises what `read_lock`, `check_schema` and `fetch_packages` raise.
    """
    lock = read_lock(lock.to_bytes(), "the solver's answer")  # its names end up on command lines
    check_schema(lock)
    fetch_packages(lock, store, progress)
    return dated(lock, store)
