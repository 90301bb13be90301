"""From when an environment is: the youngest time in its packages, with times that say nothing left out."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.environment_making import small_package

from timeproof.base.digests import Digest
from timeproof.environments.lock.dating import dated, youngest
from timeproof.environments.lock.document import Lock, Package
from timeproof.environments.lock.reading import read_lock
from timeproof.errors import Malformed
from timeproof.store.packages import PackageStore

TODAY = datetime.date(2026, 1, 2)


def wheel(folder: Path, *times: tuple[int, int, int]) -> Path:
    path = folder / f"w{len(list(folder.iterdir()))}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as stream:
        for k, day in enumerate(times):
            stream.writestr(zipfile.ZipInfo(f"f{k}.py", (*day, 1, 2, 3)), b"")
    return path


def test_the_youngest_file_of_all_wheels_counts(tmp_path: Path) -> None:
    wheels = [
        wheel(tmp_path, (2019, 3, 1), (2018, 12, 31)),
        wheel(tmp_path, (2019, 2, 27), (1980, 1, 1)),
        wheel(tmp_path),
    ]
    assert youngest(wheels, TODAY) == "2019-03-01"


@pytest.mark.parametrize(
    "day", [(1980, 1, 1), (2016, 1, 1), (2020, 2, 2), (1985, 10, 26), (2026, 1, 3), (2107, 12, 31)]
)
def test_a_time_that_says_nothing_is_left_out(tmp_path: Path, day: tuple[int, int, int]) -> None:
    assert youngest([wheel(tmp_path, day)], TODAY) is None
    assert youngest([wheel(tmp_path, day), wheel(tmp_path, (2012, 5, 6))], TODAY) == "2012-05-06"


def test_a_date_that_is_none_and_a_file_that_is_no_wheel_say_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken-1-py3-none-any.whl"
    broken.write_bytes(b"PK")
    assert youngest([wheel(tmp_path, (2012, 0, 0)), wheel(tmp_path, (2013, 2, 31)), broken], TODAY) is None


def test_a_conda_package_tells_when_it_was_built(tmp_path: Path) -> None:
    plain = small_package(tmp_path, "plain", "1")
    stamped = small_package(tmp_path, "stamped", "1", more={"timestamp": 1_700_000_000_000})
    assert youngest([plain], TODAY) is None
    assert youngest([plain, stamped], TODAY) == "2023-11-14"


@given(st.lists(st.dates(datetime.date(1995, 1, 1), TODAY), max_size=5))
def test_more_packages_never_make_an_environment_older(
    tmp_path_factory: pytest.TempPathFactory, days: list[datetime.date]
) -> None:
    folder = tmp_path_factory.mktemp("wheels")
    wheels = [wheel(folder, (d.year, d.month, d.day)) for d in days]
    found = [youngest(wheels[:k], TODAY) or "" for k in range(len(wheels) + 1)]
    assert found == sorted(found)


def test_a_lock_carries_its_date_and_reads_it_back(store: PackageStore, tmp_path: Path) -> None:
    path = wheel(tmp_path, (2019, 3, 1))
    digest = store.add_file(path)
    package = Package.stored(
        name="w", version="1", manager="pip", platform="linux-64", sha256=digest, file_name=path.name
    )
    lost = Package.stored(
        name="lost",
        version="1",
        manager="pip",
        platform="linux-64",
        sha256=Digest.of(b""),
        file_name="lost.whl",
    )
    lock = dated(Lock.make([package, lost]), store)
    assert lock.dated == "2019-03-01"
    assert read_lock(lock.to_bytes(), "x") == lock
    assert lock.sizes == {digest: path.stat().st_size}
    assert lock.with_date(None).with_sizes({}) == Lock.make([package, lost])
    with pytest.raises(Malformed, match=r"timeproof-dated is 'soon'"):
        read_lock(lock.to_bytes().replace(b"2019-03-01", b"soon"), "x")
    with pytest.raises(Malformed, match=r"timeproof-bytes is '.*=much'"):
        read_lock(lock.to_bytes().replace(f"={lock.sizes[digest]}".encode(), b"=much"), "x")
