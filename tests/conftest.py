"""What all tests share: one real archive, made once; the engine; copies to damage."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import pytest
from hypothesis import settings
from support.archive_making import copy_archive, small_archive
from support.distributions import all_but_models
from support.sharing import in_use, made_once, turn_at_the_engine
from support.tiers import BY_FIXTURE, BY_MODULE, tiers_of

import timeproof
import timeproof_probe
from timeproof.base.digests import Digest
from timeproof.engines.docker import DockerEngine, connect
from timeproof.engines.podman import Podman
from timeproof.engines.protocol import Engine
from timeproof.engines.sandbox.engine import Sandbox
from timeproof.environments.conda.layer import BaseRoot
from timeproof.errors import EngineMissing
from timeproof.images.base_rootfs import shared_base
from timeproof.images.tags import tag
from timeproof.runs import image_provider
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_environment
from timeproof.store.schema.v1 import PackageEntry

IMAGE_WAS_THERE = "image-was-there"

settings.register_profile("full", deadline=None)  # how long an example takes is the machine's affair
settings.register_profile("unit", settings.get_profile("full"), max_examples=20)
settings.load_profile("full")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no framework where no test of one is asked for: none need be installed then."""
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    unwanted = (tier for tier in BY_MODULE if f"not {tier}" in config.option.markexpr)
    return True if tiers_of(collection_path) & set(unwanted) else None


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests into the tiers that follow from what they import and which fixtures they ask for."""
    for item in items:
        if isinstance(item, pytest.Function):
            fixtures = {tier for name, tier in BY_FIXTURE.items() if name in item.fixturenames}
            for tier in tiers_of(item.path) | fixtures:
                item.add_marker(tier)
    # What waits for containers begins first; what only computes fills the rest of the time.
    waiting = {item.path for item in items if item.get_closest_marker("container")}
    items.sort(key=lambda item: item.path not in waiting)


@pytest.fixture(scope="session")
def real_engine() -> DockerEngine:
    """The container engine. `make test` sees to one, so its absence is a failure unless it is owned up to."""
    try:
        return connect()
    except EngineMissing as error:
        _skip_or_raise(error)


def _skip_or_raise(error: EngineMissing) -> NoReturn:
    if os.environ.get("TIMEPROOF_TESTS_WITHOUT_ENGINE") == "1":
        pytest.skip(f"TIMEPROOF_TESTS_WITHOUT_ENGINE=1, and {error.message}")
    raise error


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let container tests run side by side, but for those that take away what the others use."""
    if item.get_closest_marker("container") is None:
        return (yield)
    with turn_at_the_engine(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(autouse=True)
def _image_is_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that may drop the sealed archive's image, put it back: others have been given its id."""
    yield
    if request.node.get_closest_marker("alone") is not None:
        sealed = request.getfixturevalue("sealed")
        record = read_environment(sealed.archive, sealed.environment)
        image_provider.provide(request.getfixturevalue("real_engine"), sealed.archive, record)


@pytest.fixture(scope="session")
def base_root(real_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> BaseRoot:
    """A base root filesystem, made once: what conda packages are laid out on."""

    def make(folder: Path) -> None:
        entry = shared_base(PackageStore(folder / "packages"))
        (folder / "entry.json").write_text(entry.model_dump_json())

    folder = made_once(tmp_path_factory, "base", make)
    entry = PackageEntry.model_validate_json((folder / "entry.json").read_text())
    digest = Digest(entry.sha256)
    return BaseRoot(PackageStore(folder / "packages").verified(digest, entry.file), digest)


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
    folder = made_once(tmp_path_factory, "sealed", lambda folder: _seal(folder, real_engine))
    archive = Archive(folder / "archive")
    (environment,) = archive.environment_names()
    with in_use(environment) as is_last:
        yield Sealed(archive, tuple(str(ref) for ref in archive.refs()), environment)
        if is_last() and not (folder / IMAGE_WAS_THERE).exists():
            image_provider.drop(real_engine, read_environment(archive, environment))


def _seal(folder: Path, engine: DockerEngine) -> None:
    # What is left is what `make demo` archives, so that the builder has its layers already.
    from support import tiny_models

    root = folder / "archive"
    before = {tag for image in engine._api.images() for tag in image.get("RepoTags") or ()}
    with mock.patch.dict(os.environ, _own_caches(folder)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks' own, while they save and export
        net = tiny_models.net()
        more = {"grid_size": 3, "root": root, "without": all_but_models()}
        first = timeproof.archive(net.pop("model"), net.pop("inputs"), **net, **more)
        more = {"grid_size": 3, "root": root, "environment": first.metadata.environment.name}
        for pair in (tiny_models.forest(), tiny_models.leaves(), tiny_models.graph(folder)):
            timeproof.archive(*pair, **more)
    if tag(first.metadata.environment.name) in before:
        (folder / IMAGE_WAS_THERE).touch()


def _own_caches(folder: Path) -> dict[str, str]:
    """Keep notes of captures out of the user's cache; pip's downloads stay where they are."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR") or str(cache / "pip"),
    }


@pytest.fixture(scope="session")
def empty_engines(real_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    """All engines, by name. Nobody has given them an image."""
    podman, sandbox = Podman(), Sandbox(tmp_path_factory.mktemp("roots"))
    try:
        podman.version()
        sandbox.check()
    except EngineMissing as error:
        _skip_or_raise(error)
    return {"docker": real_engine, "podman": podman, "none": sandbox}


@pytest.fixture(scope="session")
def engines(empty_engines: dict[str, Engine], sealed: Sealed) -> Iterator[dict[str, Engine]]:
    """All engines, by name. What podman is given of the sealed archive is taken from it in the end."""
    with in_use(f"podman-{sealed.environment}") as is_last:
        yield empty_engines
        if is_last():
            record = read_environment(sealed.archive, sealed.environment)
            image_provider.drop(empty_engines["podman"], record)


@pytest.fixture(scope="session")
def _toolkit_imported() -> None:
    """Import every module of the toolkit that this environment can import."""
    for package in (timeproof, timeproof_probe):
        for module in pkgutil.walk_packages(
            package.__path__, f"{package.__name__}.", onerror=lambda name: None
        ):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)


@pytest.fixture
def pytester(_toolkit_imported: None, pytester: pytest.Pytester) -> pytest.Pytester:
    """Pytest's own, which forgets in the end all modules that were first imported meanwhile.

    A later test would import them again, and have each of their classes twice: one in what remembers the
    first, and one of its own. So all are imported before.
    """
    return pytester


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
