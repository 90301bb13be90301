"""The whole flow on an engine without containers: every cell is told, nothing runs twice, nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from support.archive_making import flip
from support.paths import child_environment
from support.regress_making import (
    LGB1,
    LGB2,
    VERSIONS,
    XGB,
    Y,
    broken,
    engine,
    off,
    run_regression,
    verdicts_of,
    years,
)

from timeproof.errors import EngineFailed, EngineLost
from timeproof.regression import judging
from timeproof.regression.report import Cell
from timeproof.store.layout import Archive

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def archive(tmp_path) -> Archive:
    return years(tmp_path / "archive")


def test_every_artifact_meets_every_environment_that_holds_its_framework(archive, tmp_path):
    fake = engine()
    report = run_regression(archive, fake, tmp_path / "out")
    expected = {(a, f"lightgbm-{v}"): "identical" for a in (LGB1, LGB2) for v in VERSIONS}
    assert verdicts_of(report) == expected | {(XGB, "xgboost-3.2.0"): "identical"}
    assert fake.calls.count("run") == len(VERSIONS) + 1, "one container an environment"
    assert [s.title for s in report.environments] == [*(f"lightgbm-{v}" for v in VERSIONS), "xgboost-3.2.0"]
    assert report.artifacts[0].history == "identical from LightGBM 3.3.5 to 4.7.0"
    assert judging.judge(report, None, None, None).passed


def test_each_verdict_is_its_cells_alone(archive, tmp_path):
    answers = {LGB1: off(2e-15), LGB2: "refused", XGB: broken()}
    report = run_regression(archive, engine(answers.__getitem__), tmp_path / "out")
    verdicts = {a: v for (a, _), v in verdicts_of(report).items()}
    assert verdicts == {LGB1: "rounding", LGB2: "refused", XGB: "broken"}
    cell = report.cells[0]
    assert cell.difference is not None
    assert cell.difference["outputs"]["y"]["max_abs"] == pytest.approx(2e-15, rel=0.1)
    assert cell.answer is not None
    assert next(c for c in report.cells if c.artifact == LGB2).answer is None


def test_an_altered_artifact_is_never_given_to_a_container(archive, tmp_path):
    flip(archive.root / "grid-size-8/lightgbm/model_lgb_v1.txt")
    fake = engine()
    report = run_regression(archive, fake, tmp_path / "out", artifacts=["grid-size-8/lightgbm/*"])
    assert {v for (a, _), v in verdicts_of(report).items() if a == LGB1} == {"altered"}
    assert {v for (a, _), v in verdicts_of(report).items() if a == LGB2} == {"identical"}
    assert all(one["id"] != LGB1 for job in fake.jobs for one in job["artifacts"])


def test_an_environment_that_can_not_be_had_is_lost_and_the_rest_goes_on(archive, tmp_path):
    name = next(n for n in archive.environment_names() if n.startswith("lightgbm-4.0.0"))
    flip(archive.environments / name / "recipe/Dockerfile")
    report = run_regression(archive, engine(), tmp_path / "out", artifacts=[LGB1])
    assert verdicts_of(report) == {
        (LGB1, "lightgbm-3.3.5"): "identical",
        (LGB1, "lightgbm-4.0.0"): "lost",
        (LGB1, "lightgbm-4.7.0"): "identical",
    }
    site = next(s for s in report.environments if s.title == "lightgbm-4.0.0")
    assert "Dockerfile" in site.failure
    assert "Dockerfile" in report.grid[LGB1, site.name].reason


@pytest.mark.parametrize("at", range(7))
def test_a_run_whose_engine_dies_anywhere_resumes_to_the_same_report(archive, tmp_path, at):
    whole = run_regression(archive, engine(), tmp_path / "whole")
    asked: list[str] = []

    def die(name: str) -> None:
        asked.append(name)
        if len(asked) > at:
            raise EngineLost("it went away")

    with pytest.raises(EngineLost):
        run_regression(archive, engine(before=die), tmp_path / "out")
    fake = engine()
    again = run_regression(archive, fake, tmp_path / "out", resume=True)
    assert again.stable() == whole.stable()
    rerun = sum(len(job["artifacts"]) for job in fake.jobs)
    assert rerun == len(whole.cells) - again.run["resumed"]
    assert run_regression(archive, engine(), tmp_path / "out", resume=True).run["resumed"] == len(whole.cells)


CHILD = """
import os, signal, sys
from pathlib import Path
from support.regress_making import engine
from timeproof.store.layout import Archive
from timeproof.regression.journal import Journal
from timeproof.regression.executors.local import Local
from timeproof.regression.plan import make_plan
from timeproof.regression.flow import regress
asked = []
def die(name):
    asked.append(name)
    if len(asked) > {at}:
        os.kill(os.getpid(), signal.SIGKILL)
archive = Archive({archive!r})
regress(make_plan(archive), Local(archive, lambda: engine(before=die), workers=1),
        Journal(Path({out!r}), resume=False, again=False))
"""


def test_a_killed_run_resumes_to_the_same_report(archive, tmp_path):
    whole = run_regression(archive, engine(), tmp_path / "whole")
    told = {"at": 4, "archive": str(archive.root), "out": str(tmp_path / "out")}
    done = subprocess.run([sys.executable, "-c", CHILD.format(**told)], check=False, env=child_environment())
    assert done.returncode == -signal.SIGKILL
    again = run_regression(archive, engine(), tmp_path / "out", resume=True)
    assert again.run["resumed"] > 0
    assert again.stable() == whole.stable()


def test_what_changed_since_is_run_again(archive, tmp_path):
    run_regression(archive, engine(), tmp_path / "out", artifacts=[LGB1])
    from support.archive_making import reseal

    reseal(archive.root / "grid-size-8/lightgbm/metadata_lgb_v1.json", lambda m: m["tags"].update(a="b"))
    fake = engine()
    report = run_regression(archive, fake, tmp_path / "out", artifacts=[LGB1], resume=True)
    assert report.run["resumed"] == 0
    assert len(fake.jobs) == len(VERSIONS)


def test_lost_cells_are_tried_again_when_resumed(archive, tmp_path):
    def fail(_: str) -> None:
        raise EngineFailed("busy")

    first = run_regression(archive, engine(before=fail), tmp_path / "out", artifacts=[XGB])
    assert set(verdicts_of(first).values()) == {"lost"}
    second = run_regression(archive, engine(), tmp_path / "out", artifacts=[XGB], resume=True)
    assert set(verdicts_of(second).values()) == {"identical"}


def test_two_environments_of_one_name_are_told_apart(archive, tmp_path):
    from timeproof.testing.archives import publish_environment

    publish_environment(archive, "lightgbm-4.0.0", "lightgbm-4.0.0.post1")
    names = [n for n in archive.environment_names() if n.startswith("lightgbm-4.0.0-")]
    report = run_regression(archive, engine(), tmp_path / "out", environments=names, artifacts=[LGB1])
    assert {s.title for s in report.environments} == set(names)


def test_the_report_says_what_differs_between_cells(archive, tmp_path):
    report = run_regression(archive, engine({LGB1: Y, LGB2: Y, XGB: off(1.0)}.__getitem__), tmp_path / "out")
    assert report.counts == {"identical": 6, "broken": 1}
    assert {c.answer for c in report.cells if c.artifact != XGB} == {report.cells[0].answer}
    assert isinstance(report.grid[XGB, report.environments[-1].name], Cell)
