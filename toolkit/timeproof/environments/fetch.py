"""Fetches every package of a lock into the package store, by SHA-256, from the configured mirrors."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from timeproof.base.progress import SILENT, Progress
from timeproof.environments.conda.environment import channel_name
from timeproof.environments.conda.fetch import CondaRequest, fetch_conda_package
from timeproof.environments.interpreter import repack
from timeproof.environments.lock.document import STORE, Lock, Package
from timeproof.environments.pip import client as pip
from timeproof.errors import FetchFailed, InterpreterAbsent
from timeproof.store.packages import PackageStore


@dataclass
class _Failures:
    """What could not be fetched, while the rest still is."""

    messages: list[str] = field(default_factory=list)
    interpreters: list[Package] = field(default_factory=list)  # packed by timeproof, so on no channel

    def raise_all(self, folder: Path | None) -> None:
        """Raise one error that names them all; nothing where there are none."""
        absent = [f"no interpreter of this machine is {p.file_name}" for p in self.interpreters]
        if absent and not self.messages:
            raise InterpreterAbsent("\n".join(absent), advice=_lock_again(self.interpreters[0], folder))
        if self.messages:
            raise FetchFailed(
                "\n".join([*self.messages, *absent]),
                advice="check the indexes and channels in use, "
                "or copy the package store from where it is whole",
            )


def fetch_packages(
    lock: Lock,
    store: PackageStore,
    progress: Progress = SILENT,
    *,
    channels: Sequence[str] = (),
    folder: Path | None = None,
) -> None:
    """Fetch every package of `lock` that the store lacks, and hash every one that it has.

    Args:
        channels: conda channels (names or URLs) to ask, before those that the lock names.
        folder: where the lock lies, for the advice.

    Raises:
        InterpreterAbsent: only the interpreter is missing, and none of this machine is the same.
        FetchFailed: names each file that could not be fetched, or whose bytes are not the locked ones.
        DigestMismatch: a file in the store was altered.
    """
    absent = _absent_packages(lock, store)
    failures = _Failures()
    for platform in lock.platforms:
        wheels = [p for p in absent if p.manager == "pip" and p.platform == platform]
        if wheels:
            _fetch_wheels(wheels, lock, platform, store, progress, failures)
    conda = [p for p in absent if p.manager == "conda" and not store.has(p.sha256, p.file_name)]
    if conda:
        progress.step(f"Fetching {len(conda)} conda packages")
    names = [*channels, *(c for c in lock.channels if channel_name(c))]
    for package in conda:
        progress.detail(package.file_name)
        _fetch_conda(package, names, store, failures)
    failures.raise_all(folder)


def _absent_packages(lock: Lock, store: PackageStore) -> list[Package]:
    """The packages that the store lacks. Raises DigestMismatch for one that was altered."""
    absent = []
    for package in lock.packages:
        if store.has(package.sha256, package.file_name):
            store.open_verified(package.sha256, package.file_name).close()
        else:
            absent.append(package)
    return absent


def _python_version(packages: Sequence[Package], platform: str) -> str:
    for package in packages:
        if package.platform == platform and package.manager == "conda" and package.name == "python":
            return ".".join(package.version.split(".")[:2])
    raise FetchFailed(f"the lock names no python for {platform}, so pip can't choose wheels for it")


def _fetch_wheels(
    wheels: Sequence[Package],
    lock: Lock,
    platform: str,
    store: PackageStore,
    progress: Progress,
    failures: _Failures,
) -> None:
    progress.step(f"Fetching {len(wheels)} wheels for {platform}")
    pins = [pip.Pin(p.name, p.version, p.file_name, p.sha256) for p in wheels]
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        try:
            version = _python_version(lock.packages, platform)
            files = pip.download(pins, version, Path(scratch), on_line=progress.detail)
        except FetchFailed as error:
            failures.messages.append(error.message)
            return
        for pin in pins:
            store.add_file(files[pin.sha256], pin.file_name, expected=pin.sha256)


def _fetch_conda(package: Package, channels: Sequence[str], store: PackageStore, failures: _Failures) -> None:
    if repack.pack_if_identical(package, store):
        return
    packed_here = repack.is_packed(package)
    if packed_here and not channels:
        failures.interpreters.append(package)
        return
    try:
        _fetch_from_channels(package, store, channels)
    except FetchFailed as error:
        if packed_here:
            failures.interpreters.append(package)
        else:
            failures.messages.append(error.message)


def _fetch_from_channels(package: Package, store: PackageStore, channels: Sequence[str]) -> None:
    """Look in the channel's folder of the package's platform, then in `noarch`: a lock doesn't say which."""
    url = "" if package.url.startswith(STORE) else package.url
    for subdir in (package.platform, "noarch"):
        request = CondaRequest(package.name, package.file_name, subdir, package.sha256, package.md5, url)
        try:
            fetch_conda_package(request, store, channels=channels)
            return
        except FetchFailed:
            if subdir == "noarch" or not channels:
                raise


def _lock_again(absent: Package, folder: Path | None) -> str:
    python = repack.nearest(absent.version)
    command = f"timeproof lock {folder or 'FOLDER'} --python {python or 'PYTHON'}"
    return (
        f"copy the package store from where it is whole, or lock the environment again with another "
        f"interpreter: '{command}' shows what changes, and with --check writes nothing"
    )
