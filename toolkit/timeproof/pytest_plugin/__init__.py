"""The pytest plugin: `pytest --timeproof-archive DIR` makes each artifact a test. Without the option it does
nothing, and imports nothing.

Artifacts of one environment are replayed in one container, when the first of them is asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from timeproof.pytest_plugin.options import add_options, check_options

_ROOT = "timeproof"  # the first part of every artifact's node id


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.timeproof_archive is not None:
        config.addinivalue_line("markers", "timeproof: an artifact that is replayed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep an environment's artifacts in one worker of pytest-xdist, or each would run every container.

    All other tests are dealt out as before. Groups of `xdist_group` are not used: xdist 3.8 writes them
    into node ids by a field that pytest 9.2 no longer reads.
    """
    dist = config.getoption("dist")
    if config.option.timeproof_archive is None or dist not in {"load", "loadgroup"}:
        return None  # loadfile and loadscope keep them together by themselves
    from xdist.scheduler import (  # type: ignore[import-untyped]
        LoadGroupScheduling,
        LoadScopeScheduling,
    )

    base: Any = LoadScopeScheduling if dist == "load" else LoadGroupScheduling

    class ByEnvironment(base):  # type: ignore[misc]  # one of two, chosen above
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(f"{_ROOT}::"):
                return nodeid.rpartition("::")[0]
            return nodeid if dist == "load" else str(super()._split_scope(nodeid))

    return ByEnvironment(config, log)


@pytest.hookimpl(wrapper=True)  # before all others: -k, -m and --lf choose among the items
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, object, object]:
    if config.option.timeproof_archive is not None:
        items += _artifacts(session, config)
    return (yield)


def _artifacts(session: pytest.Session, config: pytest.Config) -> Iterator[pytest.Item]:
    """Collect the artifacts that are chosen. Raises pytest.UsageError."""
    from timeproof.errors import TimeproofError
    from timeproof.pytest_plugin.items import ArchiveCollector
    from timeproof.store.remote.mirror import open_archive

    options = config.option
    check_options(options)
    place = options.timeproof_archive
    try:
        archive = open_archive(place)
        archive.require()
        refs = list(archive.refs())
    except TimeproofError as error:
        raise pytest.UsageError(f"--timeproof-archive={place}: {error.message}") from None
    patterns = options.timeproof_artifact
    chosen = [r for r in refs if not patterns or any(fnmatchcase(str(r), p) for p in patterns)]
    if not chosen:
        which = f" like {' or '.join(patterns)}" if patterns else ""
        raise pytest.UsageError(f"--timeproof-archive={place} holds no artifacts{which}")
    root_node = ArchiveCollector.from_parent(
        session, name=_ROOT, nodeid=_ROOT, path=archive.root.resolve(), archive=archive, refs=chosen
    )
    yield from session.genitems(root_node)  # it tells the reporters, too
