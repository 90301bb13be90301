"""Decisions of writers into a bucket, by a bucket in memory: who gets which version, what a kill leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.laws import examples
from support.memory_bucket import MemoryBucket
from support.waiting import HANG_SECONDS

from timeproof.base.limits import LIMITS
from timeproof.errors import BadRequest, Exists, StorageFailed
from timeproof.store import storage
from timeproof.store.remote.bucket import require_conditions
from timeproof.store.remote.bucket_storage import BucketStorage
from timeproof.store.storage import Reservation
from timeproof.store.versions import reservation_name

FOLDER = "grid-size-8/xgboost"
OLD = LIMITS.reservation_seconds / 86400 + 1  # days


class Killed(BaseException):
    """Stands for a SIGKILL: nothing that would come after it is done."""


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


def writer(bucket: MemoryBucket, here: Path) -> BucketStorage:
    return BucketStorage(bucket, FOLDER, here)


def stage(reserved: Reservation, version: int, content: bytes) -> tuple[dict[str, Path], dict[str, Path]]:
    """Make the files of one version in a draft; gives blobs and documents, as a draft does."""
    folder = reserved.folder
    (folder / f"model_xgb_v{version}.json").write_bytes(content)
    (folder / f"source_xgb_v{version}").mkdir()
    (folder / f"source_xgb_v{version}" / "net.py").write_bytes(b"net of " + content)
    (folder / f"metadata_xgb_v{version}.json").write_bytes(b"metadata of " + content)
    names = (f"model_xgb_v{version}.json", f"source_xgb_v{version}")
    documents = {f"metadata_xgb_v{version}.json": folder / f"metadata_xgb_v{version}.json"}
    return {name: folder / name for name in names}, documents


def publish(place: BucketStorage, content: bytes, version: int | None = None) -> int:
    with place.reserve("xgb", version, 1) as reserved:
        storage.publish(place, *stage(reserved, reserved.first, content))
        return reserved.first


def published(bucket: MemoryBucket) -> dict[int, bytes]:
    """Every version that has metadata, with its content; every file of it must be its own."""
    versions = {}
    for path, data in bucket.objects.items():
        if path.startswith(f"{FOLDER}/metadata_xgb_v"):
            version = int(path.removeprefix(f"{FOLDER}/metadata_xgb_v").removesuffix(".json"))
            content = data.removeprefix(b"metadata of ")
            assert bucket.objects[f"{FOLDER}/model_xgb_v{version}.json"] == content
            assert bucket.objects[f"{FOLDER}/source_xgb_v{version}/net.py"] == b"net of " + content
            versions[version] = content
    return versions


@contextmanager
def killed_at(bucket: MemoryBucket, when: int) -> Iterator[None]:
    """Let the n-th write be the last: it, and whatever would come after it, does nothing."""
    count = 0

    def die(act: str, path: str) -> None:
        nonlocal count
        if act in {"create", "replace", "overwrite", "remove"}:
            count += 1
        if count >= when:
            raise Killed

    bucket.before = die
    try:
        yield
    except Killed:
        pass
    finally:
        bucket.before = lambda act, path: None


def test_versions_count_up_and_nothing_but_the_artifacts_is_left(bucket, tmp_path):
    assert [publish(writer(bucket, tmp_path), c) for c in (b"a", b"b", b"c")] == [1, 2, 3]
    assert published(bucket) == {1: b"a", 2: b"b", 3: b"c"}
    assert not [p for p in bucket.objects if ".staging" in p]
    assert not [p for p in tmp_path.iterdir() if p.name != ".lock"]


def test_the_metadata_is_written_last_and_every_write_of_a_file_has_a_condition(bucket, tmp_path):
    publish(writer(bucket, tmp_path), b"a")
    writes = [(act, path.rpartition("/")[2]) for act, path in bucket.calls if act != "remove"]
    assert {act for act, _ in writes} == {"create"}
    assert writes[0] == ("create", reservation_name(1))
    assert writes[-1] == ("create", "metadata_xgb_v1.json")


def test_many_writers_at_once_get_different_versions(bucket, tmp_path):
    results: list[int] = []
    start = threading.Barrier(6, timeout=HANG_SECONDS)

    def write(k: int) -> None:
        start.wait()
        results.append(publish(writer(bucket, tmp_path / str(k)), b"%d" % k))

    threads = [threading.Thread(target=write, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(published(bucket))
    assert len(set(results)) == 6


def test_a_listing_that_is_old_never_gives_a_version_twice(bucket, tmp_path):
    bucket.stale = {}
    assert [publish(writer(bucket, tmp_path), c) for c in (b"a", b"b", b"c")] == [1, 2, 3]
    assert published(bucket) == {1: b"a", 2: b"b", 3: b"c"}


def test_a_batch_gets_versions_in_a_row_past_those_that_others_keep(bucket, tmp_path):
    bucket.stale = {}
    with (
        writer(bucket, tmp_path / "a").reserve("xgb", 3, 1),
        writer(bucket, tmp_path / "b").reserve("xgb", None, 4) as reserved,
    ):
        assert reserved.first == 4
        with pytest.raises(Exists), writer(bucket, tmp_path / "c").reserve("xgb", 6, 1):
            pass
    assert not bucket.objects


def test_batches_at_once_get_versions_in_a_row_that_nobody_else_has(bucket, tmp_path):
    bucket.stale = {}
    start = threading.Barrier(4, timeout=HANG_SECONDS)
    rows: list[range] = []

    def reserve(k: int) -> None:
        start.wait()
        with writer(bucket, tmp_path / str(k)).reserve("xgb", None, 5) as reserved:
            rows.append(range(reserved.first, reserved.first + 5))
            start.wait()

    threads = [threading.Thread(target=reserve, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({version for row in rows for version in row}) == 20
    assert not bucket.objects


def test_a_version_that_is_published_is_refused_by_name(bucket, tmp_path):
    publish(writer(bucket, tmp_path), b"a")
    with pytest.raises(Exists, match="metadata_xgb_v1"):
        publish(writer(bucket, tmp_path), b"b", version=1)
    assert published(bucket) == {1: b"a"}


@pytest.mark.parametrize("when", range(1, 8))
def test_a_killed_writer_leaves_whole_artifacts_and_the_next_one_goes_on(bucket, tmp_path, when):
    publish(writer(bucket, tmp_path), b"first")
    with killed_at(bucket, when):
        publish(writer(bucket, tmp_path), b"killed")
    assert set(published(bucket)) <= {1, 2}
    assert publish(writer(bucket, tmp_path), b"next") in {2, 3}
    assert b"next" in published(bucket).values()
    bucket.age(OLD)
    last = publish(writer(bucket, tmp_path), b"last")
    whole = published(bucket)
    assert whole[last] == b"last"
    assert {p.rpartition("/")[2] for p in bucket.objects if "metadata" in p} == {
        f"metadata_xgb_v{v}.json" for v in whole
    }
    assert len(bucket.objects) == 3 * len(whole), "what the killed one left was not removed"


def test_a_reservation_that_may_be_alive_is_left_alone(bucket, tmp_path):
    with writer(bucket, tmp_path / "a").reserve("xgb", None, 1) as reserved:
        bucket.age(LIMITS.reservation_seconds / 86400 - 1)
        publish(writer(bucket, tmp_path / "b"), b"other")
        storage.publish(reserved.storage, *stage(reserved, reserved.first, b"mine"))
    assert published(bucket) == {1: b"mine", 2: b"other"}


@pytest.mark.parametrize("sleeps", ["before its files", "before its metadata", "after its metadata"])
def test_a_writer_that_slept_for_days_publishes_nothing_that_was_swept(bucket, tmp_path, sleeps):
    """Another one took it for dead meanwhile, and may have removed its files."""
    slow = writer(bucket, tmp_path / "slow")
    dead = pytest.raises(StorageFailed, match="took it for dead")
    expected = nullcontext() if sleeps == "after its metadata" else dead

    def sleep() -> None:
        bucket.after = lambda act, path: None
        bucket.before = lambda act, path: None
        bucket.age(OLD)
        publish(writer(bucket, tmp_path / "other"), b"other")

    def wake(act: str, path: str) -> None:
        if act == "create" and "metadata_xgb_v1" in path:
            sleep()

    with slow.reserve("xgb", None, 1) as reserved:
        blobs, documents = stage(reserved, 1, b"slow")
        if sleeps == "before its files":
            sleep()
        elif sleeps == "before its metadata":
            bucket.before = wake
        else:
            bucket.after = wake
        with expected:
            storage.publish(slow, blobs, documents)
    assert b"other" in published(bucket).values()
    assert (b"slow" in published(bucket).values()) == (sleeps == "after its metadata")


@pytest.mark.parametrize("lost", ["model_xgb_v1.json", "metadata_xgb_v1.json", reservation_name(1)])
def test_a_lost_answer_to_a_write_that_is_tried_again_is_no_conflict(bucket, tmp_path, lost):
    real = bucket.create

    def twice(path, source):
        done = real(path, source)
        return real(path, source) if path.endswith(lost) else done

    bucket.create = twice
    assert publish(writer(bucket, tmp_path), b"a") == 1
    assert published(bucket) == {1: b"a"}


@examples(60)
@given(st.integers(1, 8), st.booleans())
def test_what_fails_leaves_nothing_behind(when, does_its_work):
    import tempfile

    bucket, count = MemoryBucket(), 0

    def fail(act: str, path: str) -> None:
        nonlocal count
        if act in {"create", "replace"}:
            count += 1
            if count == when:
                raise StorageFailed(path, "the bucket is full")

    with tempfile.TemporaryDirectory() as here:
        setattr(bucket, "after" if does_its_work else "before", fail)
        try:
            publish(writer(bucket, Path(here)), b"a")
        except StorageFailed:
            names = {p.rpartition("/")[2] for p in bucket.objects}
            assert not [n for n in names if n.startswith("metadata")]
            assert (
                names <= {reservation_name(1), "model_xgb_v1.json", "net.py"} if does_its_work else not names
            )
        else:
            assert published(bucket) == {1: b"a"}


class Careless(MemoryBucket):
    """A server that takes no notice of some condition."""

    ignored = ""

    def _write(self, act, path, source, allowed):
        return super()._write(act, path, source, (lambda: True) if act == self.ignored else allowed)


@pytest.mark.parametrize("ignored", ["create", "replace"])
def test_a_server_that_ignores_conditions_is_refused_and_nothing_is_left_on_it(ignored):
    careless = Careless()
    careless.ignored = ignored
    with pytest.raises(BadRequest, match="ignores the conditions"):
        require_conditions(careless)
    assert not careless.objects


def test_a_server_that_keeps_to_conditions_is_taken(bucket):
    require_conditions(bucket)
    assert not bucket.objects


def environment(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "REPLAY.md").write_bytes(content)
    (folder / "image.json").write_bytes(b"record of " + content)
    return folder


def test_of_two_environments_with_one_name_the_first_stays_whole(bucket, tmp_path):
    place = BucketStorage(bucket, "environments", tmp_path)
    place.put_if_absent({"digits-012": environment(tmp_path / "a", b"a")})
    with pytest.raises(Exists):
        place.put_if_absent({"digits-012": environment(tmp_path / "b", b"b")})
    assert bucket.objects == {
        "environments/digits-012/REPLAY.md": b"a",
        "environments/digits-012/image.json": b"record of a",
    }


@pytest.mark.parametrize("content", [b"a", b"b"])
def test_an_interrupted_environment_is_finished_or_named_and_never_mixed(bucket, tmp_path, content):
    place = BucketStorage(bucket, "environments", tmp_path)
    with killed_at(bucket, 3):
        place.put_if_absent({"digits-012": environment(tmp_path / "1", b"a")})
    assert "environments/.staging-digits-012" in bucket.objects
    assert "environments/digits-012/image.json" not in bucket.objects
    again = {"digits-012": environment(tmp_path / "2", content)}
    if content == b"a":
        place.put_if_absent(again)
        assert bucket.objects["environments/digits-012/image.json"] == b"record of a"
        assert "environments/.staging-digits-012" not in bucket.objects
    else:
        with pytest.raises(StorageFailed, match="was interrupted") as caught:
            place.put_if_absent(again)
        assert "remove s3://memory/models/environments/digits-012/" in caught.value.advice
        assert "environments/digits-012/image.json" not in bucket.objects
