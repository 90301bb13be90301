"""The whole flow on an engine without containers: every cell is told, nothing runs twice, nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.archive_making import flip, publish
from support.paths import child_environment
from support.regress_making import HELD, VERSIONS, Y, broken, engine, off, years

from timeproof.base.digests import Digest
from timeproof.errors import EngineFailed, EngineLost
from timeproof.regression import judging
from timeproof.regression.batch import Batch, run_batch
from timeproof.regression.executors.local import ATTEMPTS, Local, side_by_side
from timeproof.regression.flow import regress
from timeproof.regression.journal import Journal
from timeproof.regression.plan import batches_of, make_plan
from timeproof.regression.report import Cell, Report
from timeproof.store import reference
from timeproof.store.layout import Archive
from timeproof.store.verify import read_metadata
from timeproof.testing.fake_engine import FakeEngine, answering, ended, output, stream
from timeproof.testing.fake_engine import result_frame as said

LGB1, LGB2, XGB = "grid-size-8/lightgbm/v1", "grid-size-8/lightgbm/v2", "grid-size-8/xgboost/v1"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Where no lockfiles/ lie, and with a cache of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def archive(tmp_path) -> Archive:
    return years(tmp_path / "archive")


def run(archive: Archive, fake: FakeEngine, out: Path, *, workers: int = 1, **how) -> Report:
    journal = Journal(out, resume=how.get("resume", False), again=how.get("again", False))
    try:
        plan = make_plan(archive, how.get("environments", ()), how.get("artifacts", ()))
        return regress(plan, Local(archive, lambda: fake, workers=workers), journal)
    finally:
        journal.close()


def found(report: Report) -> dict[tuple[str, str], str]:
    titles = {s.name: s.title for s in report.environments}
    return {(c.artifact, titles[c.environment]): str(c.verdict) for c in report.cells}


def test_every_artifact_meets_every_environment_that_holds_its_framework(archive, tmp_path):
    fake = engine()
    report = run(archive, fake, tmp_path / "out")
    expected = {(a, f"lightgbm-{v}"): "identical" for a in (LGB1, LGB2) for v in VERSIONS}
    assert found(report) == expected | {(XGB, "xgboost-3.2.0"): "identical"}
    assert fake.calls.count("run") == len(VERSIONS) + 1, "one container an environment"
    assert [s.title for s in report.environments] == [*(f"lightgbm-{v}" for v in VERSIONS), "xgboost-3.2.0"]
    assert report.artifacts[0].history == "identical from LightGBM 3.3.5 to 4.7.0"
    assert judging.judge(report, None, None, None).passed


def test_each_verdict_is_its_cells_alone(archive, tmp_path):
    answers = {LGB1: off(2e-15), LGB2: "refused", XGB: broken()}
    report = run(archive, engine(answers.__getitem__), tmp_path / "out")
    verdicts = {a: v for (a, _), v in found(report).items()}
    assert verdicts == {LGB1: "rounding", LGB2: "refused", XGB: "broken"}
    cell = report.cells[0]
    assert cell.difference is not None
    assert cell.difference["outputs"]["y"]["max_abs"] == pytest.approx(2e-15, rel=0.1)
    assert cell.answer is not None
    assert next(c for c in report.cells if c.artifact == LGB2).answer is None


def test_an_altered_artifact_is_never_given_to_a_container(archive, tmp_path):
    flip(archive.root / "grid-size-8/lightgbm/model_lgb_v1.txt")
    fake = engine()
    report = run(archive, fake, tmp_path / "out", artifacts=["grid-size-8/lightgbm/*"])
    assert {v for (a, _), v in found(report).items() if a == LGB1} == {"altered"}
    assert {v for (a, _), v in found(report).items() if a == LGB2} == {"identical"}
    assert all(one["id"] != LGB1 for job in fake.jobs for one in job["artifacts"])


def test_an_environment_that_can_not_be_had_is_lost_and_the_rest_goes_on(archive, tmp_path):
    name = next(n for n in archive.environment_names() if n.startswith("lightgbm-4.0.0"))
    flip(archive.environments / name / "recipe/Dockerfile")
    report = run(archive, engine(), tmp_path / "out", artifacts=[LGB1])
    assert found(report) == {
        (LGB1, "lightgbm-3.3.5"): "identical",
        (LGB1, "lightgbm-4.0.0"): "lost",
        (LGB1, "lightgbm-4.7.0"): "identical",
    }
    site = next(s for s in report.environments if s.title == "lightgbm-4.0.0")
    assert "Dockerfile" in site.failure
    assert "Dockerfile" in report.grid[LGB1, site.name].reason


def test_a_container_that_the_engine_failed_is_tried_again_and_then_lost(archive, tmp_path):
    tries = []

    def fail(name: str) -> None:
        if name == LGB2:
            tries.append(name)
            raise EngineFailed("the container could not be started")

    report = run(archive, engine(before=fail), tmp_path / "out", environments=["lightgbm-4.0.0"])
    assert len(tries) == ATTEMPTS
    assert found(report)[LGB2, "lightgbm-4.0.0"] == "lost"
    assert "could not be started" in report.cells[-1].reason
    assert not judging.judge(report, None, None, None).passed

    tries.clear()

    def once(name: str) -> None:
        tries.append(name)
        if len(tries) == 1:
            raise EngineFailed("busy")

    report = run(archive, engine(before=once), tmp_path / "again", environments=["lightgbm-4.0.0"])
    assert set(found(report).values()) == {"identical"}
    assert {c.attempts for c in report.cells} == {2}


@pytest.mark.parametrize("at", range(7))
def test_a_run_whose_engine_dies_anywhere_resumes_to_the_same_report(archive, tmp_path, at):
    whole = run(archive, engine(), tmp_path / "whole")
    asked: list[str] = []

    def die(name: str) -> None:
        asked.append(name)
        if len(asked) > at:
            raise EngineLost("it went away")

    with pytest.raises(EngineLost):
        run(archive, engine(before=die), tmp_path / "out")
    fake = engine()
    again = run(archive, fake, tmp_path / "out", resume=True)
    assert again.stable() == whole.stable()
    rerun = sum(len(job["artifacts"]) for job in fake.jobs)
    assert rerun == len(whole.cells) - again.run["resumed"]
    assert run(archive, engine(), tmp_path / "out", resume=True).run["resumed"] == len(whole.cells)


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
    whole = run(archive, engine(), tmp_path / "whole")
    told = {"at": 4, "archive": str(archive.root), "out": str(tmp_path / "out")}
    done = subprocess.run([sys.executable, "-c", CHILD.format(**told)], check=False, env=child_environment())
    assert done.returncode == -signal.SIGKILL
    again = run(archive, engine(), tmp_path / "out", resume=True)
    assert again.run["resumed"] > 0
    assert again.stable() == whole.stable()


def test_what_changed_since_is_run_again(archive, tmp_path):
    run(archive, engine(), tmp_path / "out", artifacts=[LGB1])
    from support.archive_making import reseal

    reseal(archive.root / "grid-size-8/lightgbm/metadata_lgb_v1.json", lambda m: m["tags"].update(a="b"))
    fake = engine()
    report = run(archive, fake, tmp_path / "out", artifacts=[LGB1], resume=True)
    assert report.run["resumed"] == 0
    assert len(fake.jobs) == len(VERSIONS)


def test_lost_cells_are_tried_again_when_resumed(archive, tmp_path):
    def fail(_: str) -> None:
        raise EngineFailed("busy")

    first = run(archive, engine(before=fail), tmp_path / "out", artifacts=[XGB])
    assert set(found(first).values()) == {"lost"}
    second = run(archive, engine(), tmp_path / "out", artifacts=[XGB], resume=True)
    assert set(found(second).values()) == {"identical"}


def test_many_artifacts_of_one_environment_go_into_several_containers(tmp_path):
    archive = years(tmp_path / "archive", ["4.7.0"], artifacts=40)
    one, two = engine(), engine()
    report = run(archive, one, tmp_path / "one", environments=["lightgbm-4.7.0"])
    both = run(archive, two, tmp_path / "two", environments=["lightgbm-4.7.0"], workers=2)
    assert [len(j["artifacts"]) for j in one.jobs] == [40]
    assert sorted(len(j["artifacts"]) for j in two.jobs) == [20, 20]
    assert both.stable() == report.stable()


def test_two_environments_of_one_name_are_told_apart(archive, tmp_path):
    from support.archive_making import publish_environment

    publish_environment(archive, "lightgbm-4.0.0", "lightgbm-4.0.0.post1")
    names = [n for n in archive.environment_names() if n.startswith("lightgbm-4.0.0-")]
    report = run(archive, engine(), tmp_path / "out", environments=names, artifacts=[LGB1])
    assert {s.title for s in report.environments} == set(names)


def test_an_image_that_the_engine_failed_to_take_is_asked_for_again(archive, tmp_path, monkeypatch):
    from timeproof.runs import image_provider

    asked = []
    provide = image_provider.provide

    def busy(*words, **named):
        asked.append(1)
        if len(asked) == 1:
            raise EngineFailed("the image could not be taken in")
        return provide(*words, **named)

    monkeypatch.setattr(image_provider, "provide", busy)
    report = run(archive, engine(), tmp_path / "out", environments=["xgboost-3.2.0"])
    assert set(found(report).values()) == {"identical"}
    assert len(asked) == 2


def test_once_nobody_waits_the_other_containers_are_given_up(tmp_path):
    archive = years(tmp_path / "archive", ["4.7.0"], artifacts=40)
    plan = make_plan(archive, ["lightgbm-4.7.0"])
    column = plan.environments[0]
    assert column.record is not None
    batches = batches_of(plan, {column.title: column.record}, lambda *_: True, 2)
    mine, theirs = (set(b.refs) for b in batches)
    begun = threading.Event()

    def die(name: str) -> None:
        if name in theirs:
            assert begun.wait(30)
            raise EngineLost("it went away")

    given: list[str] = []
    local = Local(archive, lambda: engine(before=die), workers=2)

    def deliver(cell: Cell, _: object) -> None:
        given.append(cell.artifact)
        begun.set()
        assert local._stop.wait(30)

    with pytest.raises(EngineLost):
        local.run(batches, {column.record.folder: column.record}, deliver, lambda *_: None)
    assert len(given) == 1
    assert given[0] in mine


@pytest.mark.parametrize(
    ("cores", "gigabytes", "expected"), [(2, 24, 2), (16, 8, 4), (4, 1, 1), (1, 64, 1), (8, 0, 1)]
)
def test_as_many_containers_as_cores_and_memory_allow(cores, gigabytes, expected):
    assert side_by_side(cores, gigabytes * 2**30) == expected


def test_the_report_says_what_differs_between_cells(archive, tmp_path):
    report = run(archive, engine({LGB1: Y, LGB2: Y, XGB: off(1.0)}.__getitem__), tmp_path / "out")
    assert report.counts == {"identical": 6, "broken": 1}
    assert {c.answer for c in report.cells if c.artifact != XGB} == {report.cells[0].answer}
    assert isinstance(report.grid[XGB, report.environments[-1].name], Cell)


def saving(told: dict[str, object]) -> FakeEngine:
    """An engine whose LightGBM 4.0.0 answers a little otherwise, and says what became of the file."""

    def script(job, _):
        frames = []
        for one in job["artifacts"]:
            assert one["recorded"] == {"y": reference.spec_of("y", "output_0", Y["y"]).sha256}
            outputs = off(0.25)
            frames += [output(one["id"], name, array) for name, array in outputs.items()]
            frames.append(said(one["id"], "ok", versions={"lightgbm": "4.0.0"}, round_trip=told))
        return stream(*frames), ended()

    return FakeEngine(script, [HELD])


@pytest.mark.parametrize(
    ("told", "note"),
    [
        ({"status": "identical"}, "saved again by LightGBM 4.0.0, the file is the same in every byte"),
        ({"status": "differs"}, "saved again by LightGBM 4.0.0, the file differs: it is spelled otherwise"),
        (
            {"status": "differs", "differences": ["version: 4 → 3", "a: 1 → 2"]},
            "saved again by LightGBM 4.0.0, the file differs: version: 4 → 3; a: 1 → 2",
        ),
        ({"status": "failed", "reason": "it died"}, "the file can't be saved again: it died"),
    ],
)
def test_a_cell_that_differs_says_whether_its_file_comes_back(archive, tmp_path, told, note):
    report = run(archive, saving(told), tmp_path / "out", environments=["lightgbm-4.0.0"], artifacts=[LGB1])
    (cell,) = report.cells
    assert cell.verdict == "broken"
    assert cell.facts == {"round_trip": told}
    assert note in cell.notes
    assert Report.parse(report.to_bytes(), tmp_path) == report


@pytest.mark.parametrize("told", [None, 3, [], {"status": "fine"}, {"differences": []}])
def test_a_round_trip_that_no_probe_tells_is_no_fact(archive, tmp_path, told):
    report = run(archive, saving(told), tmp_path / "out", environments=["lightgbm-4.0.0"], artifacts=[LGB1])
    (cell,) = report.cells
    assert cell.facts == {}


def test_in_one_batch_what_runs_code_has_a_container_of_its_own(small):
    publish(small, "pytorch", 12)
    names = [str(ref) for ref in small.refs()]
    fake = FakeEngine(answering(dict.fromkeys(names, Y)))
    cells: list[Cell] = []
    profile = read_metadata(small, small.locate(XGB)).profile
    batch = Batch(small.environment_names()[0], profile, tuple(names))
    run_batch(small, batch, "sha256:x", fake, lambda cell, _: cells.append(cell))
    assert {str(c.verdict) for c in cells} == {"identical"}
    asked = [[(a["id"], a["recorded"]) for a in job["artifacts"]] for job in fake.jobs]
    told = {"y": Digest.of(Y["y"].tobytes()).hex}
    nothing = {"y": "0" * 64}
    nets = [name for name in names if "pytorch" in name]
    assert asked == [*([(name, nothing)] for name in nets), [(XGB, told)]]
