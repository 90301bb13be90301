"""Sealing: an artifact is published only where it replays, twice, to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_models
from support.archive_making import check_artifact, flip

from timeproof.engines.protocol import ImageFacts
from timeproof.errors import (
    BadArchive,
    BadGridSize,
    BadRequest,
    EngineLost,
    NotArchivable,
    NotFound,
    SealFailed,
    StorageFailed,
    TimeproofError,
    WrongImage,
)
from timeproof.sealing.flow import Request, archive_model
from timeproof.store import reference
from timeproof.store.layout import Archive
from timeproof.store.schema.records import Machine
from timeproof.store.verify import verify
from timeproof.testing.archives import ENVIRONMENT, IMAGE
from timeproof.testing.fake_engine import (
    FakeEngine,
    answer,
    answering,
    ended,
    output,
    result_frame,
    saying,
    stream,
)

REF = "grid-size-8/onnx/v1"
TWICE = {"y": tiny_models.ROWS * 2}
HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)


def engine(script: Any = None) -> FakeEngine:
    return FakeEngine(script or answering({REF: TWICE}), [HELD])


def ask(archive: Archive, folder: Path, *engines: FakeEngine, **more: Any):
    """Archive the tiny graph; the first engine is asked for the image, the others run the seals."""
    path, inputs = tiny_models.graph(folder)
    ours = list(engines) or [engine()]
    given = iter([ours[0], *ours, ours[-1]] if len(ours) > 1 else [ours[0]] * 4)
    fields = {"model": path, "inputs": inputs, "grid_size": 8, "environment": ENVIRONMENT, **more}
    return archive_model(archive, Request(**fields), lambda: next(given))


def untouched(archive: Archive) -> bool:
    """Nothing of an artifact is there, and nothing is left over."""
    report = verify(archive)
    there = [p for p in archive.root.rglob("*onnx*") if p.is_file() and not p.name.endswith(".lock")]
    return report.ok and not report.leftovers and not there


def test_what_replays_twice_the_same_is_published_with_its_answer(small, tmp_path):
    fake = engine()
    done = ask(small, tmp_path, fake, tags={"run": "42"})
    assert str(done.ref) == REF
    assert done.path == small.root / done.ref.metadata
    assert fake.calls.count("run") == 2
    assert done.metadata.tags == {"run": "42"}
    assert done.metadata.seal.runs == 2
    seeds = [job["artifacts"][0]["options"]["seed"] for job in fake.jobs]
    assert sorted(seeds) == sorted(done.metadata.seal.seeds)
    assert len(set(seeds)) == 2, "one seed for both would hide a model that draws random numbers"
    assert done.metadata.environment.image == IMAGE
    assert done.metadata.machine == Machine(cpu="a CPU")
    assert check_artifact(small, done.ref) == done.metadata.model_copy(
        update={"checksum": check_artifact(small, done.ref).checksum}
    )
    with (small.root / done.ref.folder / "reference_onnx_v1.npz").open("rb") as stream_:
        read = reference.read(stream_, [*done.metadata.inputs, *done.metadata.outputs], "r")
    assert read["y"].tobytes() == TWICE["y"].tobytes()
    assert read["x"].tobytes() == tiny_models.ROWS.tobytes()
    assert verify(small).ok


def test_the_next_one_gets_the_next_version(small, tmp_path):
    ask(small, tmp_path)
    second = engine(answering({"grid-size-8/onnx/v2": TWICE}))
    assert ask(small, tmp_path, second).ref.version == 2


ONE_BIT = TWICE["y"].copy()
ONE_BIT.view("<u4")[0, 0] ^= 1
NAN = TWICE["y"].copy()
NAN[0, 0] = np.nan


@pytest.mark.parametrize(
    "other",
    [
        {"y": ONE_BIT},
        {"y": NAN},
        {"y": TWICE["y"].astype("<f8")},
        {"y": TWICE["y"][:-1]},
        {"z": TWICE["y"]},
        {"y": TWICE["y"], "z": TWICE["y"]},
    ],
    ids=["one bit", "a NaN", "dtype", "shape", "name", "one more"],
)
def test_two_runs_that_disagree_publish_nothing(small, tmp_path, other):
    first, second = engine(), engine(answering({REF: other}))
    with pytest.raises(SealFailed, match="differ") as caught:
        ask(small, tmp_path, first, second)
    assert caught.value.exit_code == 5
    assert "random" in caught.value.advice
    assert untouched(small)


@pytest.mark.parametrize(
    ("script", "match"),
    [
        (
            saying(stream(result_frame(REF, "refused", reason="no such operator"))),
            "refused.*no such operator",
        ),
        (saying(stream(result_frame(REF, "crashed", signal=11, log="boom"))), r"crashed \(signal 11\)"),
        (saying(stream(result_frame(REF, "timeout"))), "timeout"),
        (saying(stream(done=False), oom_killed=True), "out_of_memory"),
        (saying(stream(done=False), timed_out=True), "timeout"),
        (saying(b"garbage" * 9), "crashed"),
        (saying(stream(result_frame(REF))), "no outputs"),
        (saying(stream(output(REF, "y", TWICE["y"]), done=False)), "crashed"),
        (saying(b"", exit_code=127, log="exec failed"), "exec failed"),
    ],
)
def test_what_does_not_run_in_its_container_publishes_nothing(small, tmp_path, script, match):
    with pytest.raises(SealFailed, match=f"(?s){match}"):
        ask(small, tmp_path, engine(script))
    assert untouched(small)


def test_a_failure_in_the_second_run_only_publishes_nothing(small, tmp_path):
    with pytest.raises(SealFailed):
        ask(small, tmp_path, engine(), engine(saying(stream(result_frame(REF, "crashed", signal=6)))))
    assert untouched(small)


def test_an_engine_that_is_lost_while_sealing_publishes_nothing(small, tmp_path):
    lost = engine()
    lost.lost = EngineLost("the engine stopped answering")
    with pytest.raises(EngineLost) as caught:
        ask(small, tmp_path, engine(), lost)
    assert caught.value.exit_code == 6
    assert untouched(small)


@pytest.mark.parametrize("bad", [0, -3, 2.5, "abc", True, None])
def test_a_bad_grid_size_is_told_before_anything_is_touched(tmp_path, bad):
    archive = Archive(tmp_path / "archive")
    with pytest.raises(BadGridSize):
        ask(archive, tmp_path, grid_size=bad)
    assert not archive.root.exists()


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"profile": "fast"}, BadRequest),
        ({"environment": "nowhere"}, NotFound),
        ({"environment": ENVIRONMENT, "python": Path("/usr/bin/python3")}, BadRequest),
        ({"inputs": {"x": np.array([None])}}, NotArchivable),
        ({"inputs": {"other": tiny_models.ROWS}}, NotArchivable),
        ({"inputs": {}}, NotArchivable),
        ({"model": Path("nowhere.onnx")}, TimeproofError),
        ({"model": object()}, NotArchivable),
    ],
)
def test_what_can_not_be_asked_publishes_nothing(small, tmp_path, more, error):
    with pytest.raises(error):
        ask(small, tmp_path, **more)
    assert untouched(small)


def test_what_a_container_says_of_its_machine_can_not_break_the_metadata(small, tmp_path):
    """It claims a number that JSON readers don't hold, which would make the artifact unreadable."""
    from timeproof.testing.fake_engine import DONE, HELLO, frame

    hello = frame({**HELLO, "machine": {"ram": 2**70}})
    fake = engine(saying(hello + answer(REF, TWICE) + DONE))
    with pytest.raises((BadArchive, SealFailed)):
        ask(small, tmp_path, fake)
    assert untouched(small)


def test_outputs_with_names_that_no_document_holds_are_refused_with_a_clear_error(small, tmp_path):
    fake = engine(answering({REF: {"y" * 5000: TWICE["y"]}}))
    with pytest.raises(TimeproofError):
        ask(small, tmp_path, fake)
    assert untouched(small)


def test_an_image_that_the_engine_holds_under_the_digest_of_another_is_refused(small, tmp_path):
    wrong = FakeEngine(None, [ImageFacts(IMAGE.manifest, ("sha256:" + "0" * 64,), IMAGE.platform)])
    with pytest.raises(WrongImage, match="layers"):
        ask(small, tmp_path, wrong)
    assert untouched(small)


def test_an_altered_environment_seals_nothing(small, tmp_path):
    flip(small.environments / ENVIRONMENT / "recipe" / "Dockerfile")
    fake = engine()
    with pytest.raises(BadArchive, match="Dockerfile"):
        ask(small, tmp_path, fake)
    assert "run" not in fake.calls


def test_a_disk_that_is_full_while_the_model_is_saved_is_a_storage_failure(small, tmp_path, monkeypatch):
    import errno

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("timeproof.frameworks.onnx.external_data.copy_bytes", full)
    with pytest.raises(StorageFailed) as caught:
        ask(small, tmp_path)
    assert caught.value.exit_code == 7
    assert untouched(small)


def test_the_log_of_a_failed_seal_is_shown(small, tmp_path):
    fake = engine(lambda *_: (stream(done=False), ended(exit_code=1, log="ImportError: libgomp.so.1\n")))
    with pytest.raises(SealFailed, match=r"libgomp\.so\.1"):
        ask(small, tmp_path, fake)
