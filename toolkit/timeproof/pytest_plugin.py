"""The pytest plugin: `pytest --timeproof-archive DIR` makes each artifact a test. Without the option it does
nothing, and imports nothing.

Artifacts of one environment are replayed in one container, when the first of them is asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from timeproof.compare.verdict import Verdict
    from timeproof.replaying.flow import Replayed
    from timeproof.store.layout import Archive, Ref

_LOG = 30  # lines of a log that are shown, its end
_ROOT = "timeproof"  # the first part of every artifact's node id
_UNREADABLE = "unreadable"  # what stands for the environment of an artifact whose metadata can't be read


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("timeproof", "timeproof: replay archived models")
    group.addoption(
        "--timeproof-archive",
        metavar="DIR",
        type=Path,
        help="replay each artifact of this archive, as a test of its own",
    )
    group.addoption(
        "--timeproof-artifact",
        metavar="PATTERN",
        action="append",
        default=[],
        help="only these: grid-size-8/xgboost/v1, or a pattern such as '*/xgboost/*'; may be given again",
    )
    group.addoption(
        "--timeproof-allow",
        metavar="VERDICT",
        default="identical",
        help="the worst verdict that passes: identical (the default), rounding, drift, outliers, broken",
    )


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
    """Collect the artifacts that were asked for. Raises pytest.UsageError."""
    from timeproof.compare.verdict import Verdict
    from timeproof.errors import TimeproofError
    from timeproof.store.layout import Archive

    graded = [str(v) for v in Verdict if v.graded]
    if config.option.timeproof_allow not in graded:
        allow = config.option.timeproof_allow
        raise pytest.UsageError(f"--timeproof-allow={allow}: it is none of {', '.join(graded)}")
    root = config.option.timeproof_archive
    archive = Archive(root)
    try:
        archive.require()
        refs = list(archive.refs())
    except TimeproofError as error:
        raise pytest.UsageError(f"--timeproof-archive={root}: {error.message}") from None
    patterns = config.option.timeproof_artifact
    chosen = [r for r in refs if not patterns or any(fnmatchcase(str(r), p) for p in patterns)]
    if not chosen:
        which = f" like {' or '.join(patterns)}" if patterns else ""
        raise pytest.UsageError(f"--timeproof-archive={root} holds no artifacts{which}")
    root_node = ArchiveCollector.from_parent(
        session, name=_ROOT, nodeid=_ROOT, path=root.resolve(), archive=archive, refs=chosen
    )
    yield from session.genitems(root_node)  # it tells the reporters, too


class ArchiveCollector(pytest.Collector):
    """An archive: one collector for each environment."""

    def __init__(self, *, archive: Archive, refs: list[Ref], **more: Any) -> None:
        super().__init__(**more)
        self.archive, self.refs = archive, refs

    def collect(self) -> Iterator[pytest.Collector]:
        by_environment: dict[str, list[Ref]] = {}
        for ref in self.refs:
            by_environment.setdefault(_environment(self.archive, ref), []).append(ref)
        for name, refs in by_environment.items():
            yield EnvironmentCollector.from_parent(
                self, name=name, path=self.path, archive=self.archive, refs=refs
            )


class EnvironmentCollector(pytest.Collector):
    """One environment, an item for each artifact: replays all that were chosen, once."""

    def __init__(self, *, archive: Archive, refs: list[Ref], **more: Any) -> None:
        super().__init__(**more)
        self.archive, self.refs = archive, refs
        self.replayed: dict[str, Replayed] = {}
        self.failure: Exception | None = None

    def collect(self) -> Iterator[pytest.Item]:
        for ref in self.refs:
            yield ArtifactItem.from_parent(self, name=str(ref), path=self.path, ref=ref)

    def result(self, item: ArtifactItem) -> Replayed:
        """What the replay of this item found. Raises what the engine raised, for each item alike."""
        if self.failure is not None:
            raise self.failure
        if item.name not in self.replayed:
            members = [i for i in self.session.items if isinstance(i, ArtifactItem) and i.parent is self]
            try:
                self._replay([i.ref for i in members] or [item.ref])
            except Exception as error:
                self.failure = error
                raise
        return self.replayed[item.name]

    def _replay(self, refs: list[Ref]) -> None:
        from timeproof.engines.docker import connect
        from timeproof.replaying.flow import replay

        self._tell(f"timeproof: replaying {len(refs)} in {self.name}")
        for one in replay(self.archive, refs, connect()).replayed:
            self.replayed[str(one.ref)] = one

    def _tell(self, what: str) -> None:
        """Say what takes long; an image may have to be built first. Workers of xdist have no terminal."""
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        capture: Any = self.config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or capture is None or self.config.option.verbose < 0:
            return
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(what)


class ArtifactItem(pytest.Item):
    """One artifact: passes where its verdict is allowed."""

    def __init__(self, *, ref: Ref, **more: Any) -> None:
        super().__init__(**more)
        self.ref = ref
        self.add_marker("timeproof")

    def runtest(self) -> None:
        from timeproof.compare.verdict import Verdict

        assert isinstance(self.parent, EnvironmentCollector)
        one = self.parent.result(self)
        self.user_properties += [("verdict", str(one.verdict)), ("seconds", round(one.seconds, 3))]
        allowed = Verdict(self.config.option.timeproof_allow)
        if not one.verdict.allowed_by(allowed):
            raise Differs(explain(one, self.parent.archive, allowed))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from timeproof.errors import TimeproofError

        if isinstance(excinfo.value, Differs):
            return str(excinfo.value)
        if isinstance(excinfo.value, TimeproofError):
            error = excinfo.value
            advice = f"\nwhat to do: {error.advice}" if error.advice else ""
            return f"{self.name}: {error.message}{advice}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class Differs(Exception):
    """An artifact's verdict is worse than what is allowed. Its text says all that is known."""


def explain(one: Replayed, archive: Archive, allowed: Verdict) -> str:
    """The verdict and its reason, what else is known, the log's end, and how to see it again."""
    lines = [f"{one.ref}: {one.verdict} ({allowed} is allowed): {one.reason}"]
    lines += [f"  {note}" for note in one.notes]
    if one.diff is not None:
        lines += [
            f"  output {name!r}: {diff.verdict}: {diff.reason}; {diff.summary()}"
            for name, diff in one.diff.arrays.items()
            if diff.verdict != "identical"
        ]
    if one.error is not None and one.error.advice:
        lines.append(f"  what to do: {one.error.advice}")
    lines += [f"  | {line}" for line in one.log.strip().splitlines()[-_LOG:]]
    lines.append(f"reproduce: timeproof replay {one.ref} --archive {_quoted(archive.root)}")
    return "\n".join(lines)


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))


def _environment(archive: Archive, ref: Ref) -> str:
    from timeproof.errors import BadArchive
    from timeproof.store.read import read_metadata

    try:
        return read_metadata(archive, ref).environment.name
    except BadArchive:
        return _UNREADABLE  # its replay says what is wrong
