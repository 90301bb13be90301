"""Bringing every package of a lock into the package store, by SHA-256, from the configured mirrors."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from timeproof.base.progress import Progress
from timeproof.environments.conda.environment import channel_name
from timeproof.environments.conda.fetch import Wanted, fetch_conda_package
from timeproof.environments.interpreter import repack
from timeproof.environments.lock.document import STORE, Lock, Package
from timeproof.environments.pip import client as pip
from timeproof.errors import FetchFailed, InterpreterAbsent
from timeproof.store.packages import PackageStore


def _python_version(packages: Sequence[Package], platform: str) -> str:
    for package in packages:
        if package.platform == platform and package.manager == "conda" and package.name == "python":
            return ".".join(package.version.split(".")[:2])
    raise FetchFailed(f"the lock names no python for {platform}, so its wheels can't be told")


def _subdir(package: Package) -> list[str]:
    return [package.platform, "noarch"]


def fetch(
    lock: Lock,
    store: PackageStore,
    progress: Progress,
    *,
    channels: Sequence[str] = (),
    folder: Path | None = None,
) -> None:
    """What `PackageStore.fetch` promises."""
    absent = []
    for package in lock.packages:
        if store.has(package.sha256, package.file_name):
            store.open_verified(package.sha256, package.file_name).close()
        else:
            absent.append(package)
    failed: list[str] = []
    interpreters: list[Package] = []
    for platform in lock.platforms:
        pins = [
            pip.Pin(p.name, p.version, p.file_name, p.sha256)
            for p in absent
            if p.manager == "pip" and p.platform == platform
        ]
        if not pins:
            continue
        progress.step(f"Fetching {len(pins)} wheels for {platform}")
        with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
            try:
                got = pip.download(
                    pins, _python_version(lock.packages, platform), Path(scratch), on_line=progress.detail
                )
            except FetchFailed as error:
                failed.append(error.message)
                continue
            for pin in pins:
                store.add_file(got[pin.sha256], pin.file_name, expected=pin.sha256)
    named = [*channels, *(c for c in lock.channels if channel_name(c))]
    conda = [p for p in absent if p.manager == "conda" and not store.has(p.sha256, p.file_name)]
    if conda:
        progress.step(f"Fetching {len(conda)} conda packages")
    for package in conda:
        progress.detail(package.file_name)
        if repack.pack_if_identical(package, store):
            continue
        if repack.is_packed(package) and not named:
            interpreters.append(package)
            continue
        url = "" if package.url.startswith(STORE) else package.url
        try:
            _bring(package, url, store, named)
        except FetchFailed as error:
            if repack.is_packed(package):
                interpreters.append(package)
            else:
                failed.append(error.message)
    absent_pythons = [f"no interpreter of this machine is {p.file_name}" for p in interpreters]
    if interpreters and not failed:
        raise InterpreterAbsent("\n".join(absent_pythons), advice=_another(interpreters[0], folder))
    if failed:
        raise FetchFailed(
            "\n".join([*failed, *absent_pythons]),
            advice="check the indexes and channels in use, or copy the package store from where it is whole",
        )


def _another(absent: Package, folder: Path | None) -> str:
    python = repack.nearest(absent.version)
    command = f"timeproof lock {folder or 'FOLDER'} --python {python or 'PYTHON'}"
    return (
        f"copy the package store from where it is whole, or lock the environment again with another "
        f"interpreter: '{command}' shows what changes, and with --check writes nothing"
    )


def _bring(package: Package, url: str, store: PackageStore, channels: Sequence[str]) -> None:
    for attempt in (package.platform, "noarch"):
        wanted = Wanted(package.name, package.file_name, attempt, package.sha256, package.md5, url)
        try:
            fetch_conda_package(wanted, store, channels=channels)
            return
        except FetchFailed:
            if attempt == "noarch" or not channels:
                raise
