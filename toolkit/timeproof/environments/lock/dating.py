"""The date of an environment: the youngest time inside its packages, which it can't be older than.

Read from the packages themselves, without a network. Many are built to be reproducible, and carry a fixed
time; such a time says nothing, and neither does one in the future.
"""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from timeproof.environments.conda.package_format import read_info
from timeproof.environments.lock.document import Lock
from timeproof.errors import TimeproofError
from timeproof.store.packages import PackageStore

# What zip's oldest time, flit and hatchling stamp every file with.
_FIXED = {datetime.date(1980, 1, 1), datetime.date(2016, 1, 1), datetime.date(2020, 2, 2)}
_OLDEST = datetime.date(1991, 2, 20)  # Python's first release


def _of_wheel(path: Path) -> Iterator[datetime.date]:
    try:
        with zipfile.ZipFile(path) as wheel:
            times = {item.date_time[:3] for item in wheel.infolist()}
    except (OSError, zipfile.BadZipFile):
        return
    for time in times:
        try:
            yield datetime.date(*time)
        except ValueError:
            continue  # a zip's month may be 0, and its day 31 in any


def _of_conda_package(path: Path) -> Iterator[datetime.date]:
    try:
        stamp = read_info(path, "info/index.json")["info/index.json"].get("timestamp")
    except TimeproofError:
        return
    if isinstance(stamp, int) and 0 < stamp < 10**13:
        seconds = stamp / 1000 if stamp > 10**11 else stamp  # milliseconds by now, seconds once
        yield datetime.datetime.fromtimestamp(seconds, datetime.UTC).date()


def youngest(packages: Iterable[Path], today: datetime.date) -> str | None:
    """The youngest date inside wheels and conda packages, as ISO 8601; None where all say nothing."""
    dates = [
        date
        for path in packages
        for date in (_of_wheel(path) if path.suffix == ".whl" else _of_conda_package(path))
        if _OLDEST <= date <= today and date not in _FIXED
    ]
    return max(dates).isoformat() if dates else None


def dated(lock: Lock, store: PackageStore) -> Lock:
    """The same lock with its date, and its packages' sizes; one that isn't in the store counts nothing."""
    today = datetime.datetime.now(datetime.UTC).date()
    paths = {
        p.sha256: store.path(p.sha256, p.file_name) for p in lock.packages if store.has(p.sha256, p.file_name)
    }
    sizes = {digest: path.stat().st_size for digest, path in paths.items()}
    return lock.with_date(youngest(list(paths.values()), today)).with_sizes(sizes)
