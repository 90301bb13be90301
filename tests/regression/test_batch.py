"""One batch: a container for those that may share one, and a cell that says all of each artifact."""

from __future__ import annotations

import numpy as np
import pytest
from support.archive_making import publish
from support.regress_making import (
    HELD,
    LGB1,
    XGB,
    Y,
    off,
    run_regression,
    years,
)
from support.witness_making import NATIVE, WIDE
from support.witness_making import publish as publish_witnessed

from timeproof.base.digests import Digest
from timeproof.regression.batch import Batch, run_batch
from timeproof.regression.report import Cell, Report
from timeproof.store import reference
from timeproof.store.layout import Archive
from timeproof.store.read import read_metadata
from timeproof.testing.fake_engine import FakeEngine, answer, answering, ended, frame, output, stream
from timeproof.testing.fake_engine import result_frame as said

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def archive(tmp_path) -> Archive:
    return years(tmp_path / "archive")


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
    report = run_regression(
        archive, saving(told), tmp_path / "out", environments=["lightgbm-4.0.0"], artifacts=[LGB1]
    )
    (cell,) = report.cells
    assert cell.verdict == "broken"
    assert cell.facts == {"round_trip": told}
    assert note in cell.notes
    assert Report.parse(report.to_bytes(), tmp_path) == report


@pytest.mark.parametrize("told", [None, 3, [], {"status": "fine"}, {"differences": []}])
def test_a_round_trip_that_no_probe_tells_is_no_fact(archive, tmp_path, told):
    report = run_regression(
        archive, saving(told), tmp_path / "out", environments=["lightgbm-4.0.0"], artifacts=[LGB1]
    )
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


@pytest.mark.parametrize(
    ("own", "cpu", "asked"),
    [
        (True, "another CPU", [None, "float64"]),
        (True, "a CPU", [None]),
        (False, "another CPU", [None]),
    ],
)
def test_a_witness_is_asked_only_where_it_could_excuse_the_cell(small, own, cpu, asked):
    ref = publish_witnessed(small, "float64")
    other = {name: np.nextafter(array, np.float32(9)) for name, array in NATIVE.items()}
    hello = frame({"kind": "hello", "contract": 1, "python": "3.11.7", "machine": {"cpu": cpu}})

    def script(job, _):
        (artifact,) = job["artifacts"]
        outputs = other if artifact["witness"] is None else WIDE
        return hello + stream(answer(artifact["id"], outputs))[len(stream(done=False)) :], ended()

    fake = FakeEngine(script)
    environment = small.environment_names()[0] if own else "another-0123456789ab"
    batch = Batch(environment, read_metadata(small, ref).profile, (str(ref),))
    cells: list[Cell] = []
    run_batch(small, batch, "sha256:x", fake, lambda cell, _: cells.append(cell))
    assert [a["witness"] for job in fake.jobs for a in job["artifacts"]] == asked
    (cell,) = cells
    assert (str(cell.verdict), cell.own) == ("rounding", own)
    assert cell.facts.get("witness", {}).get("holds") is (True if len(asked) == 2 else None)
    assert cell.facts.get("other_cpu") is (True if cpu == "another CPU" else None)
