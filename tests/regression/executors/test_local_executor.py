"""Batches on this machine: what the engine failed is tried again, and nothing outlives the run."""

from __future__ import annotations

import threading

import pytest
from support.regress_making import (
    LGB2,
    engine,
    run_regression,
    verdicts_of,
    years,
)
from support.waiting import HANG_SECONDS

from timeproof.errors import EngineFailed, EngineLost
from timeproof.regression import judging
from timeproof.regression.executors.local import ATTEMPTS, Local, side_by_side
from timeproof.regression.plan import batches_of, make_plan
from timeproof.regression.report import Cell
from timeproof.store.layout import Archive

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def archive(tmp_path) -> Archive:
    return years(tmp_path / "archive")


def test_a_container_that_the_engine_failed_is_tried_again_and_then_lost(archive, tmp_path):
    tries = []

    def fail(name: str) -> None:
        if name == LGB2:
            tries.append(name)
            raise EngineFailed("the container could not be started")

    report = run_regression(archive, engine(before=fail), tmp_path / "out", environments=["lightgbm-4.0.0"])
    assert len(tries) == ATTEMPTS
    assert verdicts_of(report)[LGB2, "lightgbm-4.0.0"] == "lost"
    assert "could not be started" in report.cells[-1].reason
    assert not judging.judge(report, None, None, None).passed

    tries.clear()

    def once(name: str) -> None:
        tries.append(name)
        if len(tries) == 1:
            raise EngineFailed("busy")

    report = run_regression(archive, engine(before=once), tmp_path / "again", environments=["lightgbm-4.0.0"])
    assert set(verdicts_of(report).values()) == {"identical"}
    assert {c.attempts for c in report.cells} == {2}


def test_many_artifacts_of_one_environment_go_into_several_containers(tmp_path):
    archive = years(tmp_path / "archive", ["4.7.0"], artifacts=40)
    one, two = engine(), engine()
    report = run_regression(archive, one, tmp_path / "one", environments=["lightgbm-4.7.0"])
    both = run_regression(archive, two, tmp_path / "two", environments=["lightgbm-4.7.0"], workers=2)
    assert [len(j["artifacts"]) for j in one.jobs] == [40]
    assert sorted(len(j["artifacts"]) for j in two.jobs) == [20, 20]
    assert both.stable() == report.stable()


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
    report = run_regression(archive, engine(), tmp_path / "out", environments=["xgboost-3.2.0"])
    assert set(verdicts_of(report).values()) == {"identical"}
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
            assert begun.wait(HANG_SECONDS)
            raise EngineLost("it went away")

    given: list[str] = []
    local = Local(archive, lambda: engine(before=die), workers=2)

    def deliver(cell: Cell, _: object) -> None:
        given.append(cell.artifact)
        begun.set()
        assert local._stop.wait(HANG_SECONDS)

    with pytest.raises(EngineLost):
        local.run(batches, {column.record.folder: column.record}, deliver, lambda *_: None)
    assert len(given) == 1
    assert given[0] in mine


@pytest.mark.parametrize(
    ("cores", "gigabytes", "expected"), [(2, 24, 2), (16, 8, 4), (4, 1, 1), (1, 64, 1), (8, 0, 1)]
)
def test_as_many_containers_as_cores_and_memory_allow(cores, gigabytes, expected):
    assert side_by_side(cores, gigabytes * 2**30) == expected
