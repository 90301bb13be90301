"""When an environment is built, and when one that is there will do."""

from __future__ import annotations

from pathlib import Path

import pytest

from timeproof.base.digests import Digest
from timeproof.environments.lock.document import Lock, Package
from timeproof.errors import BadRequest, LockFailed
from timeproof.images.build import build_environment, locate_environment
from timeproof.images.probe_files import present_probe
from timeproof.store.layout import Archive
from timeproof.testing.archives import publish_environment


def lock_of(*names: str) -> Lock:
    return Lock.make(
        [
            Package.stored(
                name=name, version="1", manager="pip", platform="linux-64", sha256=Digest.of(name.encode()),
                file_name=f"{name}-1-py3-none-any.whl",
            )
            for name in names
        ]
    )  # fmt: skip


def publish(archive: Archive, name: str, lock: Lock, wheel: str) -> str:
    """Publish an environment with that lock; gives its folder's name."""
    record = publish_environment(archive, name, wheel)
    (archive.environments / record.folder / "conda-lock.yml").write_bytes(lock.to_bytes())
    return record.folder


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


BASE = Digest.of(b"a base")


def built(lock: Lock, base: Digest = BASE) -> Lock:
    """The lock as an environment that is built now holds it."""
    return lock.with_base(base, "base.tar").with_probe(Digest.of(present_probe(lock)))


def test_the_same_packages_need_no_second_environment(archive: Archive) -> None:
    lock = lock_of("six")
    folder = publish(archive, "small", built(lock), "six-1")
    record = locate_environment(archive, "small", lock)
    assert record is not None
    assert record.folder == folder
    assert locate_environment(archive, "small", lock.with_date("2024-01-01")) == record


@pytest.mark.parametrize(
    ("name", "lock"),
    [
        ("small", lock_of("six", "numpy")),
        ("small", lock_of("numpy")),
        ("other", lock_of("six")),
        ("small", lock_of("six").with_base(Digest.of(b"another base"), "base.tar")),
    ],
)
def test_another_name_package_or_base_needs_another(archive: Archive, name: str, lock: Lock) -> None:
    publish(archive, "small", built(lock_of("six")), "six-1")
    assert locate_environment(archive, name, lock) is None


def test_an_older_probe_needs_another(archive: Archive) -> None:
    lock = lock_of("six")
    publish(archive, "small", built(lock).with_probe(Digest.of(b"an older probe")), "six-1")
    assert locate_environment(archive, "small", lock) is None


def test_a_lock_that_names_its_base_takes_only_that(archive: Archive) -> None:
    lock = lock_of("six")
    publish(archive, "small", built(lock), "six-1")
    assert locate_environment(archive, "small", lock.with_base(BASE, "base.tar")) is not None


def test_a_lock_without_a_python_is_refused_before_anything_is_made(archive: Archive) -> None:
    with pytest.raises(LockFailed, match="holds no python for linux-64"):
        build_environment(archive, lock_of("six"), "", "small")
    with pytest.raises(BadRequest):
        build_environment(archive, lock_of("six"), "", "Not A Name")
    assert archive.environment_names() == []
    assert not archive.packages.exists()
