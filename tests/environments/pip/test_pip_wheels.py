"""Wheels in the store, and how a lock names what they require."""

from __future__ import annotations

from pathlib import Path

import pytest

from timeproof.base.digests import Digest
from timeproof.base.progress import SILENT
from timeproof.environments.pip.client import Wheel
from timeproof.environments.pip.wheels import StoredWheel, add_wheels, dependencies_of, locked_wheel
from timeproof.errors import DigestMismatch
from timeproof.store.packages import PackageStore

MARKERS = {"python_version": "3.11", "sys_platform": "linux"}
NAME = "thing-1.0-py3-none-any.whl"


def test_only_what_applies_and_is_locked_is_a_dependency() -> None:
    requires = [
        "Numpy>=1.20", "six", "absent>1", "extra-thing; extra == 'more'", "old; python_version < '3'",
        "new; python_version > '3'",
    ]  # fmt: skip
    keys = {"numpy", "six", "extra-thing", "old", "new"}
    assert dependencies_of(requires, MARKERS, keys) == [("new", ""), ("numpy", ">=1.20"), ("six", "")]


def test_a_lock_names_a_wheel_by_its_place_in_the_store() -> None:
    wheel = StoredWheel(Digest("a" * 64), NAME)
    package = locked_wheel("thing", "1.0", "linux-64", wheel, requires=["six"], markers=MARKERS, keys={"six"})
    assert package.url == f"${{TIMEPROOF_STORE}}/sha256/aa/{'a' * 64}/{NAME}"
    assert (package.manager, package.dependencies) == ("pip", (("six", ""),))


@pytest.fixture
def wheel_file(tmp_path: Path) -> Path:
    path = tmp_path / "my files" / NAME
    path.parent.mkdir()
    path.write_bytes(b"a wheel")
    return path


def report_row(path: Path, sha256: Digest | None) -> Wheel:
    return Wheel("Thing", "1.0", NAME, sha256, path.as_uri(), ())


def test_a_wheel_on_this_machine_is_copied_and_hashed(store: PackageStore, wheel_file: Path) -> None:
    digest = Digest.of(b"a wheel")
    for sha256 in (None, digest):
        stored = add_wheels([report_row(wheel_file, sha256)], "3.11", store, SILENT)
        assert stored == {"thing": StoredWheel(digest, NAME)}
    with pytest.raises(DigestMismatch):
        add_wheels([report_row(wheel_file, Digest("b" * 64))], "3.11", store, SILENT)


def test_a_wheel_that_the_store_holds_is_not_fetched_again(store: PackageStore, wheel_file: Path) -> None:
    digest = store.add_file(wheel_file)
    wheel_file.unlink()
    assert add_wheels([report_row(wheel_file, digest)], "3.11", store, SILENT)["thing"].sha256 == digest


def test_a_wheel_of_the_web_without_a_hash_is_left_out(store: PackageStore) -> None:
    wheel = Wheel("thing", "1.0", NAME, None, f"https://x.test/{NAME}", ())
    assert add_wheels([wheel], "3.11", store, SILENT) == {}
