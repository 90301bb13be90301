"""`timeproof regress`: which reports it writes, what it prints, and what it refuses before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from support.regress_making import XGB, Y, engine, off, years
from typer.testing import CliRunner

from timeproof.cli.main import make_app
from timeproof.engines import docker
from timeproof.regression.report import Report
from timeproof.store.layout import Archive

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return years(tmp_path / "archive", ["4.7.0"], artifacts=1)


@pytest.fixture
def regress(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command on an engine without containers; XGBoost answers otherwise than it was recorded."""
    monkeypatch.setattr(docker, "connect", lambda: engine(lambda name: off(1.0) if name == XGB else Y))
    for name in ("TIMEPROOF_ENGINE", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> Result:
        return CliRunner().invoke(make_app(["regress"]), ["regress", str(archive.root), *words])

    return run


def test_without_a_word_it_writes_four_reports_and_prints_the_grid(regress):
    done = regress("--out", "out")
    assert done.exit_code == 1
    files = ["report.json", "report.html", "junit.xml", "summary.md"]
    assert {p.name for p in Path("out").iterdir()} == {*files, "journal.jsonl"}
    *_, summary, written = done.stdout.strip().splitlines()
    assert summary.startswith("failed: 2 cells: 1 identical, 1 broken · 1 fail (drift or worse)")
    assert written.split() == [f"out/{name}" for name in files]


def test_named_reports_are_the_only_ones(regress):
    done = regress("--out", "out", "--report", "terminal", "--report", "junit:deep/j.xml")
    assert {p.name for p in Path("out").iterdir()} == {"report.txt", "journal.jsonl"}
    assert b'failures="1"' in Path("deep/j.xml").read_bytes()
    assert done.stdout.strip().endswith("out/report.txt deep/j.xml")


def test_a_report_to_stdout_is_all_that_is_there(regress):
    done = regress("--report", "json:-")
    assert Report.parse(done.stdout.encode(), "stdout").counts == {"identical": 1, "broken": 1}
    done = regress("--report", "markdown:-")
    assert done.stdout.startswith("## ❌ failed: timeproof regress\n")


def test_json_names_what_was_written(regress):
    document = json.loads(regress("--out", "out", "--json", "--report", "html").stdout)
    assert document["written"] == ["out/report.html"]


@pytest.mark.parametrize(
    "words",
    [
        ["--report", "pdf"],
        ["--report", "html:"],
        ["--report", "json:-", "--json"],
        ["--await-cleanup", "-1"],
        ["--fail-on", "identical"],
        ["--resume", "--again"],
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_written(regress, words):
    assert regress(*words, "--out", "out").exit_code == 2
    assert not Path("out").exists()
