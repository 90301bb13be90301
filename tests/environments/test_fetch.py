"""The packages of a lock, fetched into the store by their hashes; whatever is missing is named at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.environment_making import run

from timeproof.base.digests import Digest
from timeproof.environments.fetch import fetch_packages
from timeproof.environments.lock.document import Lock, Package
from timeproof.errors import DigestMismatch, FetchFailed
from timeproof.store.packages import PackageStore

pytestmark = pytest.mark.slow


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
