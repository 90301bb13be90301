"""Run models of the zoo, each in a process of its own; what crashes or hangs is a row like any other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_case import Case
from zoo_judging import judged

HERE = Path(__file__).resolve().parent
HANGS = 600  # seconds: nothing here takes a minute on a machine that does nothing else


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows, answers and the archive lie."""

    folder: Path
    archive: Path
    wheels: Path
    python: str = sys.executable

    def work(self, name: str) -> Path:
        return self.folder / "models" / name


def run(case: Case, place: Place, environment: str) -> dict[str, Any]:
    """Build, ask and archive one model; hold the sealed answer against its user's."""
    work = place.work(case.name)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    begun = time.monotonic()
    words = [place.python, str(HERE / "ask_and_archive.py"), case.module, case.name, str(work)]
    words += ["--root", str(place.archive), "--environment", environment]
    ended = _run(words, work / "log.txt", {**os.environ, "TIMEPROOF_ZOO_WHEELS": str(place.wheels)})
    row_file = work / "row.json"
    if row_file.is_file():
        row = json.loads(row_file.read_text(encoding="utf-8"))
    else:
        row = {"name": case.name, "status": "crashed", "message": _last_words(work / "log.txt", ended)}
    row = judged(case, {"advice": "", "own_error": None, **row}, work / "own.npz")
    row["seconds_in_all"] = round(time.monotonic() - begun, 1)
    return row


def _run(words: list[str], log: Path, environment: dict[str, str]) -> str:
    """Run a process and all that it starts to its end; say how it ended."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment,
            start_new_session=True,
        )
        try:
            code = process.wait(HANGS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"nothing came within {HANGS} s"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return f"signal {-code}" if code < 0 else f"exit {code}"


def _last_words(log: Path, ended: str) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{ended}: {lines[-1].strip() if lines else 'nothing was written'}"
