"""Replaying: bytes are checked first, each artifact has its verdict, and what fails stops nobody else."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.archive_making import X, Y, break_hard_link, fill, flip, metadata_of, publish, reseal

from timeproof.base.digests import Digest
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import ImageFacts, RunResult, RunSpec
from timeproof.errors import EngineLost, EngineMissing
from timeproof.images import rebuild as rebuild_module
from timeproof.replaying.flow import Replayed, Result, replay
from timeproof.runs import image_provider
from timeproof.runs.profiles import profile_named
from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_environment
from timeproof.testing.archives import ENVIRONMENT, IMAGE
from timeproof.testing.fake_engine import (
    DONE,
    HELLO,
    FakeEngine,
    Script,
    answer,
    answering,
    ended,
    frame,
    result_frame,
)

HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
A, B = "grid-size-8/xgboost/v1", "grid-size-12/pytorch/v1"
GOOD = {A: Y, B: Y}
NAMED = {"a": A, "b": B}


def engine(script=None, held=(HELD,)) -> FakeEngine:
    return FakeEngine(script or answering(GOOD), held)


def everything(archive: Archive, fake: FakeEngine, **more) -> Result:
    return replay(archive, list(archive.refs()), fake, **more)


def ids(fake: FakeEngine) -> list[list[str]]:
    """Which artifacts each container was asked for."""
    return [[a["id"] for a in job["artifacts"]] for job in fake.jobs]


def each(**frames: bytes) -> Script:
    """A script that writes, whatever container it is, the frames of the artifacts that it was asked for."""

    def script(job, _: RunSpec) -> tuple[bytes, RunResult]:
        asked = {a["id"] for a in job["artifacts"]}
        hello = frames.get("hello", frame(HELLO))
        return b"".join([hello, *(f for k, f in frames.items() if NAMED.get(k) in asked), DONE]), ended()

    return script


def verdicts(result: Result) -> dict[str, str]:
    return {str(r.ref): str(r.verdict) for r in result.replayed}


def test_what_answers_as_recorded_is_identical_and_passes(small):
    fake = engine()
    result = everything(small, fake)
    assert verdicts(result) == {A: "identical", B: "identical"}
    assert result.passes()
    assert result.exit_code == 0
    assert result.environments == {ENVIRONMENT: "engine"}
    assert sorted(ids(fake)) == [[B], [A]], "what runs code has a container of its own"
    assert [r.outputs for r in result.replayed] == [1, 1]


def test_another_answer_is_a_verdict_not_an_error(small):
    other = {"y": np.nextafter(Y["y"], 2)}
    result = everything(small, engine(answering({A: other, B: {"y": Y["y"] * 2}})))
    assert verdicts(result) == {A: "rounding", B: "broken"}
    assert result.exit_code == 0
    assert not result.passes()
    assert not result.passes(Verdict.rounding)
    assert result.passes(Verdict.broken)


def test_a_crash_is_never_allowed(small):
    result = everything(small, engine(each(a=answer(A, Y), b=result_frame(B, "crashed", signal=11))))
    assert verdicts(result) == {A: "identical", B: "crashed"}
    assert "signal 11" in result.replayed[1].reason
    for allowed in Verdict:
        assert not result.passes(allowed)


def test_nothing_replayed_is_nothing_passed(small):
    assert not replay(small, [], engine()).passes()
    assert not Result([], {}).passes(Verdict.broken)


def test_an_artifact_asked_for_twice_is_replayed_once(small):
    refs = [Ref.parse(A), Ref.parse(B), Ref.parse(A)]
    assert [str(r.ref) for r in replay(small, refs, engine()).replayed] == [A, B]


@pytest.mark.parametrize(
    "name", ["model_xgb_v1.json", "reference_xgb_v1.npz", "source_xgb_v1/net.py", "metadata_xgb_v1.json"]
)
def test_an_altered_file_is_named_and_no_container_is_started_for_it(small, name):
    flip(small.root / "grid-size-8/xgboost" / name)
    fake = engine()
    result = everything(small, fake)
    assert verdicts(result) == {A: "altered", B: "identical"}
    assert name in result.replayed[0].reason
    assert result.replayed[0].error is not None
    assert result.exit_code == 3
    assert [[a["id"] for a in job["artifacts"]] for job in fake.jobs] == [[B]]
    alone = engine()
    assert replay(small, [Ref.parse(A)], alone).exit_code == 3
    assert alone.calls == []


@pytest.mark.parametrize(
    "path", [f"environments/{ENVIRONMENT}/recipe/Dockerfile", f"environments/{ENVIRONMENT}/image.json"]
)
def test_an_altered_environment_starts_no_container(small, path):
    flip(small.root / path)
    fake = engine()
    result = everything(small, fake)
    assert verdicts(result) == {A: "altered", B: "altered"}
    assert result.exit_code == 3
    assert "run" not in fake.calls


def test_a_missing_environment_is_named(small):
    shutil.rmtree(small.environments / ENVIRONMENT)
    result = everything(small, engine())
    assert set(verdicts(result).values()) == {"altered"}
    assert "image.json is missing" in result.replayed[0].reason


def test_an_artifact_that_names_another_image_than_its_environment_is_lost(small):
    """Somebody built the environment anew, and replaced the record."""
    reseal(
        small.root / "grid-size-8/xgboost/metadata_xgb_v1.json",
        lambda m: m["environment"]["image"].update(config="sha256:" + "0" * 64),
    )
    result = replay(small, [Ref.parse(A)], engine())
    assert result.exit_code == 4
    assert not result.passes(Verdict.broken)
    assert "config digest" in result.replayed[0].reason


def test_a_reference_that_lies_is_altered_though_its_seal_is_new(small):
    """The file and its digest were replaced; the arrays' own digests were not."""
    folder = small.root / "grid-size-8/xgboost"
    stream_ = io.BytesIO()
    reference.write(stream_, input=X, output={"y": Y["y"] + 1})
    break_hard_link(folder / "reference_xgb_v1.npz").write_bytes(stream_.getvalue())

    def edit(metadata):
        for entry in metadata["files"]:
            if entry["role"] == "reference":
                entry.update(size=len(stream_.getvalue()), sha256=Digest.of(stream_.getvalue()).hex)

    reseal(folder / "metadata_xgb_v1.json", edit)
    result = replay(small, [Ref.parse(A)], engine())
    assert verdicts(result) == {A: "altered"}
    assert result.exit_code == 3


def test_results_come_in_the_order_asked_for_and_as_they_are_done(small):
    shutil.rmtree(small.root / "grid-size-12/pytorch/source_pt_v1")
    seen: list[Replayed] = []
    refs = [Ref.parse(A), Ref.parse(B)]
    result = replay(small, refs, engine(), on_replayed=seen.append)
    assert [str(r.ref) for r in seen] == [B, A], "what is refused without running is known first"
    assert [r.ref for r in result.replayed] == refs


def test_another_profile_is_used_and_told(small):
    fake = engine()
    result = everything(small, fake, profile=profile_named("native"))
    assert fake.specs[0].env == {}
    assert all("replayed under the profile native" in r.notes[0] for r in result.replayed)


def test_another_machine_is_told_where_the_answer_differs(small):
    hello = frame({**HELLO, "machine": {"cpu": "another CPU"}})
    script = each(hello=hello, a=answer(A, Y), b=answer(B, {"y": Y["y"] * 2}))
    result = everything(small, engine(script))
    assert verdicts(result) == {A: "identical", B: "broken"}
    assert result.replayed[0].notes == []
    assert any("another CPU" in note for note in result.replayed[1].notes)


def test_a_lost_engine_is_an_error_of_the_whole_run(small):
    fake = engine()
    fake.lost = EngineLost("the engine stopped answering")
    with pytest.raises(EngineLost):
        everything(small, fake)


def test_artifacts_that_share_a_container_share_a_mount(small):
    publish(small, "xgboost")
    publish(small, "lightgbm")
    more = {"grid-size-8/xgboost/v2": Y, "grid-size-8/lightgbm/v1": Y}
    fake = engine(answering({**GOOD, **more}))
    assert everything(small, fake).passes()
    assert sorted(len(job["artifacts"]) for job in fake.jobs) == [1, 3]
    assert [[m.target for m in spec.mounts] for spec in fake.specs] == [["/job/job.json", "/in"]] * 2


def test_outputs_of_every_shape_and_dtype_are_compared(small, tmp_path):
    odd = {
        "empty": np.zeros((0, 3), "<f4"),
        "scalar": np.array(7, ">i2"),
        "text": np.array(["é", "日本"]),
        "time": np.array(["2026-01-02"], "M8[D]"),
        "parts": np.zeros(2, [("a", "<f4"), ("b", "S3")]),
    }
    with writer.draft(small, 5, "onnx") as draft:
        files = fill(draft, b"a graph", input=X, output=odd)
        draft.publish(metadata_of(draft, files, outputs=reference.specs_of("output", odd)))
    ref = draft.ref
    assert replay(small, [ref], engine(answering({str(ref): odd}))).passes()
    for name, array in odd.items():
        if array.size:
            raw = bytearray(array.tobytes())
            raw[-1] ^= 1
            other = {**odd, name: np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)}
            assert not replay(small, [ref], engine(answering({str(ref): other}))).passes(), name


# --- where the image comes from -------------------------------------------------------------------


class Builder:
    """Stands for `rebuild.rebuild`: what it puts into the engine, or raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fake: FakeEngine, result: object) -> None:
        self.calls = 0

        def rebuild(*_: object, **__: object) -> None:
            self.calls += 1
            if isinstance(result, BaseException):
                raise result
            assert isinstance(result, ImageFacts)
            fake.images[result.id] = result

        monkeypatch.setattr(rebuild_module, "rebuild", rebuild)


def provide(archive: Archive, fake: FakeEngine, **more):
    return image_provider.provide(fake, archive, read_environment(archive, ENVIRONMENT), **more)


def test_the_engines_own_image_is_taken_where_it_is_there(small, monkeypatch):
    fake = engine()
    builder = Builder(monkeypatch, fake, HELD)
    assert provide(small, fake) == image_provider.Provided(IMAGE.manifest, "engine")
    assert builder.calls == 0


def test_an_engine_that_knows_images_by_their_config_is_understood(small):
    by_config = ImageFacts(IMAGE.config, tuple(IMAGE.diff_ids), IMAGE.platform)
    assert provide(small, engine(held=[by_config])).id == IMAGE.config


def test_what_is_not_there_is_rebuilt(small, monkeypatch):
    fake = engine(held=())
    builder = Builder(monkeypatch, fake, HELD)
    assert provide(small, fake).source == "rebuilt"
    assert builder.calls == 1
    assert "load" not in fake.calls


def test_where_it_can_not_be_rebuilt_the_stored_copy_is_loaded_and_the_result_says_so(small):
    """The packages are gone; the blobs of the image are not."""
    shutil.rmtree(small.packages)
    fake = engine(held=())
    fake.loads = lambda data: HELD if IMAGE.manifest.encode() in data else None
    result = everything(small, fake)
    assert result.passes()
    assert result.environments == {ENVIRONMENT: "stored"}
    assert {r.image_source for r in result.replayed} == {"stored"}
    (note,) = result.notes
    assert "stored copy" in note
    assert "missing" in note


def test_a_lost_engine_is_not_mistaken_for_a_failed_rebuild(small, monkeypatch):
    fake = engine(held=())
    Builder(monkeypatch, fake, EngineLost("gone"))
    with pytest.raises(EngineLost):
        provide(small, fake)
    assert "load" not in fake.calls


def test_a_missing_builder_is_made_good_by_the_stored_copy(small, monkeypatch):
    fake = engine(held=())
    fake.loads = lambda _: HELD
    Builder(monkeypatch, fake, EngineMissing("there is no buildx"))
    assert provide(small, fake).source == "stored"


def test_a_rebuild_that_is_insisted_on_is_never_made_good(small):
    shutil.rmtree(small.packages)
    fake = engine()
    fake.loads = lambda _: HELD
    result = everything(small, fake, image="rebuild")
    assert result.exit_code == 3
    assert set(verdicts(result).values()) == {"altered"}
    assert "load" not in fake.calls
    assert "run" not in fake.calls


def test_a_rebuild_is_made_though_the_engine_holds_the_image(small, monkeypatch):
    fake = engine()
    builder = Builder(monkeypatch, fake, HELD)
    result = everything(small, fake, image="rebuild")
    assert builder.calls == 1
    assert result.environments == {ENVIRONMENT: "rebuilt"}


def test_a_rebuild_that_the_engine_does_not_hold_afterwards_is_refused(small, monkeypatch):
    fake = engine(held=())
    Builder(monkeypatch, fake, ImageFacts("sha256:" + "1" * 64, (), "linux/amd64"))
    result = everything(small, fake, image="rebuild")
    assert result.exit_code == 4
    assert not result.passes(Verdict.broken)
    assert "run" not in fake.calls


@pytest.mark.parametrize(
    "facts",
    [
        ImageFacts(IMAGE.manifest, ("sha256:" + "0" * 64,), IMAGE.platform),
        ImageFacts(IMAGE.manifest, tuple(reversed(IMAGE.diff_ids)), IMAGE.platform),
        ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), "linux/arm64"),
    ],
    ids=["other layers", "other order", "other platform"],
)
@pytest.mark.parametrize("mode", ["auto", "stored"])
def test_an_image_that_is_not_the_recorded_one_is_never_run(small, facts, mode):
    fake = engine(held=[facts])
    fake.loads = lambda _: facts
    result = everything(small, fake, image=mode)
    assert result.exit_code == 4
    assert not result.passes(Verdict.broken)
    assert "run" not in fake.calls


def test_a_tampered_blob_is_refused_before_the_engine_loads_it(small):
    for blob in sorted((small.images / "blobs/sha256").iterdir()):
        flip(blob)
        fake = engine(held=())
        fake.loads = lambda _: HELD
        result = everything(small, fake, image="stored")
        assert result.exit_code == 3, blob
        assert blob.name in result.replayed[0].reason
        assert "load" not in fake.calls, "the engine took in altered bytes"
        assert "run" not in fake.calls
        flip(blob)


def test_a_way_that_is_none_is_a_bad_request(small):
    result = everything(small, engine(), image="magic")
    assert result.exit_code == 2
    assert "magic" in result.replayed[0].reason


def test_a_result_can_be_told_as_json(small):
    from timeproof.base import strictjson

    nan = {"y": np.array([np.nan, np.inf])}
    result = everything(small, engine(answering({A: nan, B: Y})))
    told_ = strictjson.loads(strictjson.dumps(result.to_json()), "result")
    assert told_["counts"] == {"broken": 1, "identical": 1}
    assert told_["replayed"][0]["artifact"] == A


def test_a_folder_that_is_no_archive_has_no_artifacts(tmp_path: Path):
    assert list(Archive(tmp_path).refs()) == []


def test_an_engine_of_another_architecture_emulates_and_every_result_says_so(small, monkeypatch):
    monkeypatch.setattr(
        FakeEngine, "version", lambda self: {"engine": "fake", "version": "1", "arch": "arm64"}
    )
    result = everything(small, engine())
    assert verdicts(result) == {A: "identical", B: "identical"}
    assert [r.notes for r in result.replayed] == [["run by the engine's emulation of linux/amd64"]] * 2
    assert all("emulation" in r["notes"][0] for r in result.to_json()["replayed"])


def test_an_image_of_another_platform_than_recorded_is_refused_on_every_engine(small):
    foreign = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), "linux/arm64")
    result = everything(small, engine(held=(foreign,)))
    assert set(verdicts(result).values()) == {"lost"}
    assert {type(r.error).__name__ for r in result.replayed} == {"WrongPlatform"}
    assert result.exit_code == 4


def test_a_weaker_engine_says_so_in_the_notes(small, monkeypatch):
    monkeypatch.setattr(FakeEngine, "caveats", lambda self: ("run in a weaker sandbox",))
    assert everything(small, engine()).to_json()["notes"] == ["run in a weaker sandbox"]
