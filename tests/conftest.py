"""What all tests share: one real archive, made once; the engine; copies to damage."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support.archive_making import copy_archive, small_archive
from support.distributions import all_but_models

from timeproof.base.digests import Digest
from timeproof.engines.docker import DockerEngine, connect
from timeproof.environments.conda.layer import BaseRoot
from timeproof.errors import EngineMissing
from timeproof.images import build
from timeproof.images.base_rootfs import one_base
from timeproof.runs import image_provider
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.verify import read_environment


@pytest.fixture(scope="session")
def real_engine() -> DockerEngine:
    """The container engine. `make test` sees to one, so its absence is a failure unless it is owned up to."""
    try:
        return connect()
    except EngineMissing as error:
        if os.environ.get("TIMEPROOF_TESTS_WITHOUT_ENGINE") == "1":
            pytest.skip(f"TIMEPROOF_TESTS_WITHOUT_ENGINE=1, and {error.message}")
        raise


@pytest.fixture(scope="session")
def base_root(real_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> BaseRoot:
    """A base root filesystem, made once: what conda packages are laid out on."""
    store = PackageStore(tmp_path_factory.mktemp("base") / "packages")
    rootfs = one_base(store)
    digest = Digest(rootfs.sha256)
    return BaseRoot(store.verified(digest, rootfs.file), digest)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A real archive: four artifacts, one environment. Nobody changes it; `copy_of` is for that."""

    archive: Archive
    refs: tuple[str, ...]
    environment: str

    @property
    def root(self) -> Path:
        return self.archive.root


@pytest.fixture(scope="session")
def sealed(real_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """Archive four tiny models, in the environment that runs the tests, less what is there for the tests."""
    # What is left is what `make demo` archives, so that the builder has its layers already.
    from support import tiny_models

    import timeproof

    before = {tag for image in real_engine._api.images() for tag in image.get("RepoTags") or ()}
    folder = tmp_path_factory.mktemp("sealed")
    root = folder / "archive"
    done = []
    with mock.patch.dict(os.environ, _own_caches(folder)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks' own, while they save and export
        more = {"grid_size": 3, "root": root, "without": all_but_models()}
        net = tiny_models.net()
        done.append(timeproof.archive(net.pop("model"), net.pop("inputs"), **net, **more))
        more = {"grid_size": 3, "root": root, "environment": done[0].metadata.environment.name}
        for pair in (tiny_models.forest(), tiny_models.leaves(), tiny_models.graph(folder)):
            done.append(timeproof.archive(*pair, **more))
    environment = done[0].metadata.environment.name
    yield Sealed(Archive(root), tuple(str(d.ref) for d in done), environment)
    if build.tag(environment) not in before:
        image_provider.drop(real_engine, read_environment(Archive(root), environment))


def _own_caches(folder: Path) -> dict[str, str]:
    """Keep notes of captures out of the user's cache; pip's downloads stay where they are."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR") or str(cache / "pip"),
    }


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Sealed], Archive]:
    """Copy a sealed archive, to damage it: the documents really, the heavy files as hard links."""

    def copy(sealed: Sealed, name: str = "copy") -> Archive:
        return Archive(copy_archive(sealed.root, tmp_path / name))

    return copy


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The ids of the containers that this process makes meanwhile; at the end, none may be left."""
    import docker

    ids: list[str] = []
    create = docker.APIClient.create_container

    def noting(self: Any, *words: Any, **named: Any) -> Any:
        created = create(self, *words, **named)
        ids.append(created["Id"])
        return created

    monkeypatch.setattr(docker.APIClient, "create_container", noting)
    yield ids
    if ids:
        engine = connect()
        present = {c["Id"] for c in engine._api.containers(all=True)}
        assert not present & set(ids)


@pytest.fixture(scope="session")
def _small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_archive(tmp_path_factory.mktemp("small") / "archive").root


@pytest.fixture
def small(_small: Path, tmp_path: Path) -> Iterator[Archive]:
    """A small archive of one's own, with every kind of file, made without an engine."""
    return Archive(copy_archive(_small, tmp_path / "archive"))
