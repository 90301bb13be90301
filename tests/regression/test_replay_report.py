"""A replay has every form of report: a cell an artifact, in its own environment."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.archive_making import Y, flip
from typer.testing import CliRunner

from timeproof.cli.main import make_app
from timeproof.compare.verdict import Verdict
from timeproof.engines import docker
from timeproof.engines.protocol import ImageFacts
from timeproof.regression.replay_report import report_of_replay
from timeproof.regression.report import Report
from timeproof.regression.reports.registry import FORMATS
from timeproof.replaying.flow import replay
from timeproof.replaying.result import UNREADABLE
from timeproof.testing.archives import ENVIRONMENT, IMAGE
from timeproof.testing.fake_engine import FakeEngine, answering

HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
A, B = "grid-size-8/xgboost/v1", "grid-size-12/pytorch/v1"
NEAR = {"y": np.nextafter(Y["y"], 2)}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine(answering({A: NEAR, B: Y}), [HELD])
    monkeypatch.setattr(docker, "connect", lambda: fake)
    for name in ("TIMEPROOF_ENGINE", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return fake


def test_each_artifact_is_a_cell_of_its_own_environment(small, engine):
    result = replay(small, list(small.refs()), engine)
    report = report_of_replay(small, result, Verdict.identical)
    assert [a.ref for a in report.artifacts] == [A, B]
    assert [(e.name, e.title, e.source) for e in report.environments] == [(ENVIRONMENT, "small", "engine")]
    near, same = report.cells
    assert (near.verdict, near.fails, near.own) == (Verdict.rounding, True, True)
    assert (same.verdict, same.fails) == (Verdict.identical, False)
    assert near.difference == result.replayed[0].diff.to_json()
    assert report.machines == [{"cpu": "a CPU"}]
    assert (report.command, report.passed, report.fail_on) == ("replay", False, "worse than identical")
    assert report_of_replay(small, result, Verdict.rounding).passed
    assert Report.parse(report.to_bytes(), "r") == report


@pytest.mark.parametrize("name", FORMATS)
def test_it_has_every_form_and_says_how_to_see_it_again(small, engine, name):
    result = replay(small, list(small.refs()), engine)
    page = FORMATS[name].render(report_of_replay(small, result, Verdict.identical)).decode()
    assert A in page
    if name in {"junit", "markdown"}:
        assert "timeproof replay" in page
        assert f"timeproof replay {A} --archive {small.root}" in page


def test_what_can_not_be_read_is_a_cell_all_the_same(small, engine):
    flip(small.root / "grid-size-8/xgboost/metadata_xgb_v1.json")
    flip(small.environments / ENVIRONMENT / "image.json")
    result = replay(small, list(small.refs()), engine)
    report = report_of_replay(small, result, Verdict.broken)
    assert [(c.artifact, c.environment, str(c.verdict)) for c in report.cells] == [
        (A, UNREADABLE, "altered"),
        (B, ENVIRONMENT, "altered"),
    ]
    assert all(c.fails for c in report.cells)
    assert "image.json" in report.environments[1].failure
    for format in FORMATS.values():
        format.render(report)


def test_the_command_writes_what_it_was_asked_for(small, engine, tmp_path):
    words = ["replay", "--all", "--archive", str(small.root)]
    run = CliRunner()
    reports = ["--report", f"junit:{tmp_path / 'r.xml'}", "--report", f"html:{tmp_path / 'r.html'}"]
    done = run.invoke(make_app(["replay"]), [*words, *reports])
    assert done.exit_code == 1
    assert "failed: 2 replayed" in done.stdout, "and prints its table as before"
    assert b'failures="1"' in (tmp_path / "r.xml").read_bytes()
    assert (tmp_path / "r.html").read_bytes().startswith(b"<!doctype html>")
    done = run.invoke(make_app(["replay"]), [*words, "--report", "json:-"])
    assert Report.parse(done.stdout.encode(), "stdout").counts == {"identical": 1, "rounding": 1}
    done = run.invoke(make_app(["replay"]), [*words, "--report", "json:-", "--json"])
    assert done.exit_code == 2
    done = run.invoke(make_app(["replay"]), [*words, "--json"])
    assert json.loads(done.stdout)["counts"] == {"identical": 1, "rounding": 1}
    before = len(engine.jobs)
    assert run.invoke(make_app(["replay"]), [*words, "--report", "pdf"]).exit_code == 2
    assert len(engine.jobs) == before, "nothing was run"
