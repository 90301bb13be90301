"""A regression on a real engine: every verdict is its cell's alone, and a kill costs nothing finished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.grafting import graft
from support.own_containers import containers_with_files_of
from support.waiting import wait_until

from timeproof.regression.report import Report
from timeproof.store.layout import Archive

pytestmark = pytest.mark.container

TXT, NET = "model_lgb_v1.txt", "source_pt_v1/tiny_net.py"
LGB, PT = "grid-size-3/lightgbm/v1", "grid-size-3/pytorch/v1"
PATIENCE = "30"  # seconds for an artifact: five times what the slowest of them needs
SLOW = """
import time
from torch import nn

class TinyNet(nn.Module):
    def __init__(self, *words, **named):
        super().__init__()
        time.sleep(3600)
"""


def command(archive: Archive, out: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "timeproof", "regress", str(archive.root), "--out", str(out), *words]


def regress(archive: Archive, out: Path, *words: str) -> tuple[int, Report]:
    done = subprocess.run(
        command(archive, out, *words),
        cwd=out.parent,
        env=own_scratch(out.parent),
        capture_output=True,
        check=False,
    )
    path = out / "report.json"
    assert path.is_file(), done.stderr.decode()
    return done.returncode, Report.parse(path.read_bytes(), path)


def own_scratch(folder: Path) -> dict[str, str]:
    """Variables by which a run's private files, and so its containers, are told from all others."""
    (folder / "scratch").mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(folder / "scratch")}


def left_running(engine: Any, folder: Path) -> set[str]:
    return containers_with_files_of(engine._api, folder / "scratch")


def test_its_own_environment_answers_as_recorded_and_every_report_says_so(sealed, tmp_path):
    archive, out = sealed.archive, tmp_path / "out"
    code, report = regress(archive, out, "--update-baseline", "--baseline", str(tmp_path / "baseline.json"))
    assert code == 0
    assert report.passed
    assert report.counts == {"identical": 4}
    assert all(c.own and c.versions and c.answer for c in report.cells)
    assert {p.name for p in out.iterdir()} >= {"report.json", "report.html", "junit.xml", "summary.md"}
    assert 'failures="0"' in (out / "junit.xml").read_text()
    known = json.loads((tmp_path / "baseline.json").read_bytes())
    assert {v for row in known["cells"].values() for v in row.values()} == {"identical"}


def test_a_crash_and_a_model_that_never_ends_are_their_cells_alone(sealed, copy_of, tmp_path, real_engine):
    archive = copy_of(sealed)
    text = (archive.root / "grid-size-3/lightgbm" / TXT).read_bytes()
    half = graft(archive, LGB, {TXT: text[: len(text) // 2]})
    slow = graft(archive, PT, {NET: SLOW.encode()})
    code, report = regress(archive, tmp_path / "out", "--timeout", PATIENCE, "--artifact", "grid-size-3/*")
    assert code == 1
    found = {c.artifact: c for c in report.cells}
    assert found[str(half)].verdict in {"crashed", "refused"}
    assert found[str(slow)].verdict == "timeout"
    assert report.counts["identical"] == 4
    failing = {c.artifact for c in report.cells if c.fails}
    assert failing == {str(half), str(slow)}
    assert left_running(real_engine, tmp_path) == set()
    code, again = regress(archive, tmp_path / "out", "--resume", "--timeout", PATIENCE)
    assert again.run["resumed"] == len(report.cells), "what is finished is never run again"
    assert again.stable() == report.stable()


def test_a_killed_run_resumes_to_the_same_report(sealed, copy_of, tmp_path, real_engine):
    archive, out = copy_of(sealed), tmp_path / "out"
    for _ in range(2):
        graft(archive, LGB, {})
    slow = graft(archive, PT, {NET: SLOW.encode()})
    words = ("--timeout", PATIENCE, "--workers", "1")
    _, whole = regress(archive, tmp_path / "whole", *words)
    running = subprocess.Popen(
        command(archive, out, *words), cwd=tmp_path, env=own_scratch(tmp_path), stderr=subprocess.DEVNULL
    )
    journal = out / "journal.jsonl"

    def two_are_finished() -> bool:
        assert running.poll() is None
        return journal.exists() and journal.read_bytes().count(b"\n") >= 2

    wait_until(two_are_finished)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    refused = subprocess.run(command(archive, out, *words), cwd=tmp_path, capture_output=True, check=False)
    assert refused.returncode == 2
    assert b"--resume" in refused.stderr
    _, resumed = regress(archive, out, *words, "--resume")
    assert resumed.run["resumed"] >= 2
    assert resumed.stable() == whole.stable()
    assert resumed.grid[str(slow), sealed.environment].verdict == "timeout"
    assert left_running(real_engine, tmp_path) == set(), "the next run removes what a killed one left"
