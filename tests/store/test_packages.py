"""The package store: content under its hash, checked each time it is used."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from timeproof.base.digests import Digest
from timeproof.errors import DigestMismatch, Missing, NotRegular, UnsafePath
from timeproof.store.packages import PackageStore


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    return PackageStore(tmp_path / "packages")


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
    digests: list[Digest] = []
    threads = [threading.Thread(target=lambda: digests.append(store.add_file(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 8
    assert len(set(digests)) == 1
    store.open_verified(digests[0], source.name).close()
