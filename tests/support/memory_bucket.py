"""A bucket in memory that keeps the laws of `Bucket`, and can lose, refuse and delay as a server does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.errors import Limit
from timeproof.store.remote.bucket import Listed

Fault = Callable[[str, str], None]  # what is asked for, and of which path


class MemoryBucket:
    """Objects by path. One may be handed to many threads."""

    def __init__(self) -> None:
        self.address = "s3://memory/models"
        self.objects: dict[str, bytes] = {}
        self.times: dict[str, datetime] = {}
        self.clock = datetime(2026, 1, 1, tzinfo=UTC)
        self.calls: list[tuple[str, str]] = []
        self.before: Fault = lambda act, path: None  # raises: the call did nothing
        self.after: Fault = lambda act, path: None  # raises: the call did its work, and its answer is lost
        self.stale: dict[str, bytes] | None = None  # what listings have, where they are old
        self._lock = threading.Lock()

    def age(self, days: float) -> None:
        self.clock += timedelta(days=days)

    def _write(self, act: str, path: str, source: Path | bytes, allowed: Callable[[], bool]) -> bool:
        self.before(act, path)
        with self._lock:
            done = allowed()
            self.calls.append((act, path))
            if done:
                self.objects[path] = source if isinstance(source, bytes) else source.read_bytes()
                self.times[path] = self.clock
        self.after(act, path)
        return done

    def create(self, path: str, source: Path | bytes) -> bool:
        return self._write("create", path, source, lambda: path not in self.objects)

    def replace(self, path: str, data: bytes, tell: str) -> bool:
        def same() -> bool:
            return path in self.objects and str(Digest.of(self.objects[path])) == tell

        return self._write("replace", path, data, same)

    def overwrite(self, path: str, source: Path) -> None:
        self._write("overwrite", path, source, lambda: True)

    def read(self, path: str, limit: int = LIMITS.json_bytes) -> tuple[bytes, str] | None:
        self.before("read", path)
        data = self.objects.get(path)
        if data is None:
            return None
        if len(data) > limit:
            raise Limit(path, f"more than {limit} bytes")
        return data, str(Digest.of(data))

    def size(self, path: str) -> int | None:
        self.before("size", path)
        return len(self.objects[path]) if path in self.objects else None

    def digest(self, path: str) -> Digest | None:
        self.before("digest", path)
        return Digest.of(self.objects[path]) if path in self.objects else None

    def listed(self, folder: str) -> dict[str, Listed]:
        self.before("listed", folder)
        objects = self.objects if self.stale is None else self.stale
        begin = f"{folder}/"
        return {
            path.removeprefix(begin): Listed(len(data), self.times.get(path, self.clock))
            for path, data in objects.items()
            if path.startswith(begin)
        }

    def remove(self, path: str) -> None:
        self.before("remove", path)
        with self._lock:
            self.calls.append(("remove", path))
            self.objects.pop(path, None)
        self.after("remove", path)
