"""The journal of a run: every finished cell, as soon as it is known, so that nothing runs twice.

One line a cell, with its own checksum: a line that was cut by a kill is not there. Knows files only.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.errors import BadRequest
from timeproof.regression.report import Cell

NAME = "journal.jsonl"
SYNC_SECONDS = 1.0  # seconds of work that a power cut may cost; a kill costs none
_DONE = {"done": True}  # the last line of a run that nothing is missing of


@dataclass(frozen=True, slots=True)
class Entry:
    key: str  # plan.cell_key: what the cell stands for
    cell: Cell
    machine: dict[str, Any]


class Journal:
    """Open for writing, and locked against a second run in the same folder."""

    def __init__(self, folder: Path, *, resume: bool, again: bool) -> None:
        """Open the folder's journal.

        Args:
            resume: keep what it holds.
            again: forget what it holds, also that of an interrupted run.

        Raises BadRequest: another run writes it; or an interrupted run's lies here and neither was asked for.
        """
        self.path = folder / NAME
        self._fd = _open_locked(self.path)
        try:
            self.entries = self._begin(folder, resume=resume, again=again)
        except BaseException:
            os.close(self._fd)
            raise
        self._synced = time.monotonic()

    def _begin(self, folder: Path, *, resume: bool, again: bool) -> list[Entry]:
        """Read what the file holds, or empty it; give the entries that are kept."""
        data = self.path.read_bytes()
        lines = [_line(raw) for raw in data.splitlines(keepends=True)]
        finished = bool(lines) and lines[-1] == _DONE
        if data and not (resume or again or finished):
            raise BadRequest(
                f"{folder} holds an interrupted run: {sum(_is_cell(x) for x in lines)} cells are done",
                advice="finish it with --resume, or begin anew with --again",
            )
        if not resume:
            with atomic.storage(self.path):
                os.ftruncate(self._fd, 0)
            return []
        if data and not data.endswith(b"\n"):
            self._write(b"\n")  # what follows is a line of its own
        return [e for x in lines if x and (e := _entry(x)) is not None]

    def add(self, key: str, cell: Cell, machine: Mapping[str, Any]) -> None:
        """Note a finished cell. A kill from here on does not cost it."""
        self._append({"key": key, "cell": cell.model_dump(mode="json"), "machine": dict(machine)})
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def done(self) -> None:
        """Note that nothing is missing."""
        self._append(_DONE)
        self.sync()

    def sync(self) -> None:
        """Make all that was noted durable: a power cut does not cost it either."""
        with atomic.storage(self.path):
            os.fsync(self._fd)
        self._synced = time.monotonic()

    def close(self) -> None:
        os.close(self._fd)

    def _append(self, value: dict[str, Any]) -> None:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
        self._write(Digest.of(text).hex[:16].encode() + b" " + text + b"\n")

    def _write(self, data: bytes) -> None:
        with atomic.storage(self.path):
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]


def _open_locked(path: Path) -> int:
    """Open the journal for appending, and lock it; its descriptor. Raises BadRequest / StorageFailed."""
    folder = path.parent
    if folder.exists() and not folder.is_dir():
        raise BadRequest(f"{folder} is not a folder", advice="give another one with --out")
    with atomic.storage(path):
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise BadRequest(
            f"another run writes into {folder}", advice="wait for it, or give another folder with --out"
        ) from None
    return fd


def _line(raw: bytes) -> dict[str, Any]:
    """Read one line; an empty object where it is damaged or cut. One that lacks only its end is whole."""
    check, _, text = raw.rstrip(b"\n").partition(b" ")
    if Digest.of(text).hex[:16].encode() != check:
        return {}
    value = json.loads(text)
    return value if isinstance(value, dict) else {}


def _is_cell(value: Mapping[str, Any]) -> bool:
    return "cell" in value


def _entry(value: Mapping[str, Any]) -> Entry | None:
    try:
        machine = value.get("machine")
        cell = Cell.model_validate(value["cell"])
        return Entry(str(value["key"]), cell, machine if isinstance(machine, dict) else {})
    except (KeyError, ValidationError):
        return None  # the last line, or one by another release: its cell is run again
