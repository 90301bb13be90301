"""Which source gives the recorded image, in which order, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from timeproof.engines.protocol import ImageFacts
from timeproof.errors import (
    BadRequest,
    BuildFailed,
    EngineFailed,
    EngineLost,
    EngineMissing,
    Missing,
    RemoteFailed,
    WrongImage,
    WrongPlatform,
)
from timeproof.images import rebuild as rebuilding_module
from timeproof.images.tags import tag
from timeproof.runs import image_provider
from timeproof.store.layout import Archive
from timeproof.store.read import read_environment
from timeproof.testing.archives import ENVIRONMENT, IMAGE
from timeproof.testing.fake_engine import FakeEngine

RECORDED = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
BY_CONFIG = ImageFacts(IMAGE.config, tuple(IMAGE.diff_ids), IMAGE.platform)
OTHER_LAYERS = ImageFacts(IMAGE.manifest, tuple(reversed(IMAGE.diff_ids)), IMAGE.platform)
NO_REGISTRY = "127.0.0.1:9/models"  # nothing listens at the discard port


def provide(archive: Archive, engine: FakeEngine, **more: object) -> image_provider.Provided:
    return image_provider.provide(engine, archive, read_environment(archive, ENVIRONMENT), **more)  # type: ignore[arg-type]


@pytest.fixture
def rebuilding(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeEngine, object], list[bool]]:
    """Let a rebuild put an image into the engine, or raise; gives the `no_cache` of each call."""

    def arrange(engine: FakeEngine, result: object) -> list[bool]:
        calls: list[bool] = []

        def rebuild(*_: object, no_cache: bool, **__: object) -> None:
            calls.append(no_cache)
            if isinstance(result, BaseException):
                raise result
            assert isinstance(result, ImageFacts)
            engine.images[result.id] = result

        monkeypatch.setattr(rebuilding_module, "rebuild", rebuild)
        return calls

    return arrange


def loading(images: tuple[ImageFacts, ...] = (), loads: ImageFacts | None = RECORDED) -> FakeEngine:
    """An engine with these images, whose `load` gives `loads`."""
    engine = FakeEngine(images=images)
    engine.loads = lambda _: loads
    return engine


@pytest.mark.parametrize("image", [RECORDED, BY_CONFIG], ids=["manifest", "config"])
@pytest.mark.parametrize("mode", ["auto", "ready"])
def test_the_engines_own_image_comes_first(small, rebuilding, image, mode):
    engine = loading((image,))
    calls = rebuilding(engine, EngineFailed("nothing may be built"))
    assert provide(small, engine, mode=mode) == image_provider.Provided(image.id, "engine")
    assert calls == []
    assert "load" not in engine.calls


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        (OTHER_LAYERS, WrongImage),
        (ImageFacts(IMAGE.manifest, (), IMAGE.platform), WrongImage),
        (ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), "linux/arm64"), WrongPlatform),
    ],
    ids=["other order", "no layers", "other platform"],
)
def test_an_image_of_the_recorded_name_with_other_contents_is_refused(small, facts, error):
    with pytest.raises(error):
        provide(small, loading((facts,)))


def test_an_absent_image_is_rebuilt(small, rebuilding):
    engine = loading()
    calls = rebuilding(engine, RECORDED)
    assert provide(small, engine, no_cache=True) == image_provider.Provided(IMAGE.manifest, "rebuilt")
    assert calls == [True]
    assert "load" not in engine.calls


@pytest.mark.parametrize("error", [BuildFailed("no"), EngineMissing("no buildx"), Missing("a wheel")])
def test_where_a_rebuild_fails_the_stored_copy_is_loaded_and_the_note_says_why(small, rebuilding, error):
    engine = loading()
    rebuilding(engine, error)
    provided = provide(small, engine)
    assert (provided.id, provided.source) == (IMAGE.manifest, "stored")
    assert provided.note == f"it could not be rebuilt: {error.message}"


def test_a_lost_engine_is_not_a_failed_rebuild(small, rebuilding):
    engine = loading()
    rebuilding(engine, EngineLost("gone"))
    with pytest.raises(EngineLost):
        provide(small, engine)
    assert "load" not in engine.calls


def test_an_engine_that_builds_nothing_loads_the_stored_copy(small):
    engine = loading()
    engine.builds = False
    provided = provide(small, engine)
    assert provided.source == "stored"
    assert "can't build images" in provided.note
    with pytest.raises(BuildFailed, match="can't build images"):
        provide(small, engine, mode="rebuild")


def test_ready_never_builds(small, rebuilding):
    engine = loading()
    calls = rebuilding(engine, RECORDED)
    assert provide(small, engine, mode="ready").source == "stored"
    assert calls == []


def test_a_registry_that_does_not_answer_is_passed_over_unless_it_is_the_only_source(small, rebuilding):
    engine = loading()
    rebuilding(engine, BuildFailed("no"))
    provided = provide(small, engine, registry=NO_REGISTRY)
    assert provided.source == "stored"
    assert "it could not be pulled: " in provided.note
    assert provided.note.endswith("; it could not be rebuilt: no")
    with pytest.raises(RemoteFailed):
        provide(small, loading(), registry=NO_REGISTRY, mode="registry")


def test_a_rebuild_is_made_though_the_engine_holds_the_image(small, rebuilding):
    engine = loading((RECORDED,))
    calls = rebuilding(engine, RECORDED)
    assert provide(small, engine, mode="rebuild").source == "rebuilt"
    assert calls == [False]


@pytest.mark.parametrize("mode", ["rebuild", "stored"])
def test_what_the_engine_does_not_hold_afterwards_is_refused(small, rebuilding, mode):
    other = ImageFacts("sha256:" + "1" * 64, (), IMAGE.platform)
    engine = loading(loads=other)
    rebuilding(engine, other)
    with pytest.raises(WrongImage) as caught:
        provide(small, engine, mode=mode)
    assert caught.value.advice


def test_a_missing_blob_is_refused_before_anything_is_loaded(small):
    shutil.rmtree(small.images / "blobs")
    engine = loading()
    with pytest.raises(Missing):
        provide(small, engine, mode="stored")
    assert "load" not in engine.calls


@pytest.mark.parametrize(
    ("more", "words"),
    [({"mode": "magic"}, "no image source 'magic'"), ({"mode": "registry"}, "no registry is named")],
)
def test_a_source_that_is_none_is_a_bad_request(small, more, words):
    with pytest.raises(BadRequest, match=words):
        provide(small, loading(), **more)


def test_dropping_removes_an_image_under_each_of_its_names(small):
    engine = loading((RECORDED, BY_CONFIG))
    record = read_environment(small, ENVIRONMENT)
    image_provider.drop(engine, record)
    assert engine.images == {}
    assert engine.calls == [f"drop {n}" for n in (tag(record.folder), IMAGE.manifest, IMAGE.config)]
