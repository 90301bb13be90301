"""The package store: content under its hash, checked each time it is used."""

from __future__ import annotations

import os
import stat
import sys
import threading
from pathlib import Path

import pytest
from support.environment_making import run

from timeproof.base.digests import Digest
from timeproof.environments.fetch import fetch_packages
from timeproof.environments.lock.document import Lock, Package
from timeproof.errors import DigestMismatch, FetchFailed, Missing, NotRegular, UnsafePath
from timeproof.store.packages import PackageStore


def a_file(folder: Path, data: bytes = b"wheel", name: str = "x-1-py3-none-any.whl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_what_goes_in_comes_out(store: PackageStore, tmp_path: Path) -> None:
    digest = store.add_file(a_file(tmp_path))
    assert store.has(digest, "x-1-py3-none-any.whl")
    with store.open_verified(digest, "x-1-py3-none-any.whl") as stream:
        assert stream.read() == b"wheel"
    path = store.path(digest, "x-1-py3-none-any.whl")
    assert path == store.root / "sha256" / digest.hex[:2] / digest.hex / "x-1-py3-none-any.whl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert store.add_bytes(b"wheel", "x-1-py3-none-any.whl") == digest


def test_the_source_is_never_linked(store: PackageStore, tmp_path: Path) -> None:
    source = a_file(tmp_path)
    digest = store.add_file(source)
    source.write_bytes(b"other")
    assert store.verified(digest, source.name).read_bytes() == b"wheel"
    assert store.path(digest, source.name).stat().st_nlink == 1


def test_an_unexpected_file_leaves_no_trace(store: PackageStore, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch):
        store.add_file(a_file(tmp_path), expected=Digest.of(b"other"))
    assert [p for p in store.root.rglob("*") if p.is_file()] == []


def test_a_flipped_bit_is_named_and_mended_by_adding_again(store: PackageStore, tmp_path: Path) -> None:
    digest = store.add_file(a_file(tmp_path))
    path = store.path(digest, "x-1-py3-none-any.whl")
    path.write_bytes(b"whEel")
    with pytest.raises(DigestMismatch, match=r"x-1-py3-none-any\.whl"):
        store.open_verified(digest, path.name)
    store.add_file(tmp_path / path.name)
    store.open_verified(digest, path.name).close()


def test_a_link_in_the_store_is_refused(store: PackageStore, tmp_path: Path) -> None:
    digest = store.add_file(a_file(tmp_path))
    path = store.path(digest, "x-1-py3-none-any.whl")
    path.unlink()
    with pytest.raises(Missing):
        store.open_verified(digest, path.name)
    path.symlink_to(tmp_path / path.name)
    assert not store.has(digest, path.name)
    with pytest.raises(NotRegular):
        store.open_verified(digest, path.name)


def test_a_pipe_is_refused_without_blocking(store: PackageStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.whl")
    with pytest.raises(NotRegular):
        store.add_file(tmp_path / "x.whl")


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "-x", "CON", "x\n", "x" * 300])
def test_names_that_are_not_one_plain_component_are_refused(store: PackageStore, name: str) -> None:
    with pytest.raises(UnsafePath):
        store.path(Digest.of(b""), name)


def test_eight_writers_of_one_file_all_succeed(store: PackageStore, tmp_path: Path) -> None:
    source = a_file(tmp_path, os.urandom(1 << 20))
    found: list[Digest] = []
    threads = [threading.Thread(target=lambda: found.append(store.add_file(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    store.open_verified(found[0], source.name).close()


@pytest.fixture
def six(tmp_path: Path) -> Path:
    run(sys.executable, "-I", "-m", "pip", "download", "--no-deps", "-d", tmp_path / "six", "six")
    return next((tmp_path / "six").iterdir())


def locked_six(wheel: Path, **changes: object) -> Lock:
    values: dict[str, object] = {
        "name": "six",
        "version": wheel.name.split("-")[1],
        "manager": "pip",
        "platform": "linux-64",
        "sha256": Digest.of(wheel.read_bytes()),
        "file_name": wheel.name,
    }
    python = Package.stored(
        name="python",
        version="3.11.7",
        manager="conda",
        platform="linux-64",
        sha256=Digest.of(b"python"),
        file_name="python-3.11.7-0.conda",
        md5="0" * 32,
    )
    return Lock.make([Package.stored(**(values | changes)), python])  # type: ignore[arg-type]


def test_a_lock_is_fetched_by_hash(store: PackageStore, six: Path) -> None:
    lock = locked_six(six)
    store.add_bytes(b"python", "python-3.11.7-0.conda")
    fetch_packages(lock, store)
    store.open_verified(Digest.of(six.read_bytes()), six.name).close()


def test_other_bytes_than_the_locked_ones_are_named(store: PackageStore, six: Path) -> None:
    store.add_bytes(b"python", "python-3.11.7-0.conda")
    with pytest.raises(FetchFailed, match=r"six-.*\.whl"):
        fetch_packages(locked_six(six, sha256=Digest.of(b"other")), store)


def test_everything_that_could_not_be_fetched_is_named_at_once(store: PackageStore, six: Path) -> None:
    with pytest.raises(FetchFailed) as caught:
        fetch_packages(locked_six(six, sha256=Digest.of(b"other")), store)
    assert "six" in caught.value.message
    assert "python-3.11.7-0.conda" in caught.value.message


def test_an_altered_wheel_in_the_store_stops_a_fetch(store: PackageStore, six: Path) -> None:
    lock = locked_six(six)
    store.add_bytes(b"python", "python-3.11.7-0.conda")
    digest = store.add_file(six)
    with store.path(digest, six.name).open("r+b") as stream:
        stream.write(b"X")
    with pytest.raises(DigestMismatch):
        fetch_packages(lock, store)


def test_conda_packages_come_from_a_channel(store: PackageStore, channel: Path) -> None:
    path = next((channel / "noarch").glob("greeting-*.conda"))
    package = Package.stored(
        name="greeting",
        version="1.2",
        manager="conda",
        platform="linux-64",
        sha256=Digest.of(path.read_bytes()),
        file_name=path.name,
        md5="0" * 32,
    )
    with pytest.raises(FetchFailed, match=r"greeting-1\.2-0\.conda"):
        fetch_packages(Lock.make([package]), store)
    fetch_packages(Lock.make([package]), store, channels=[channel.as_uri()])
    store.open_verified(package.sha256, path.name).close()
