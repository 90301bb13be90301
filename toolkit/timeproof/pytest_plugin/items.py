"""The items of the plugin: an archive, its environments, and a test for each artifact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from timeproof.compare.verdict import Verdict
from timeproof.errors import BadArchive, TimeproofError
from timeproof.pytest_plugin.options import engine_name, registry_name, reproduce
from timeproof.replaying.result import UNREADABLE, Replayed
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata

_LOG = 30  # lines of a log that are shown, its end


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
        from timeproof.base.limits import LIMITS
        from timeproof.engines.registry import engine_named
        from timeproof.replaying.flow import replay
        from timeproof.runs.profiles import profile_named

        options = self.config.option
        profile = options.timeproof_profile
        self._tell(f"timeproof: replaying {len(refs)} in {self.name}")
        result = replay(
            self.archive,
            refs,
            engine_named(engine_name(options)),
            image=options.timeproof_image,
            registry=registry_name(options),
            no_cache=options.timeproof_no_cache,
            profile=profile_named(profile) if profile is not None else None,
            limits=LIMITS.bounded(
                artifact_seconds=options.timeproof_timeout, container_mebibytes=options.timeproof_memory
            ),
            tries=options.timeproof_explain,
        )
        for replayed in result.replayed:
            replayed.notes += result.notes  # of the engine and the image: here is no other place for them
            self.replayed[str(replayed.ref)] = replayed

    def _tell(self, line: str) -> None:
        """Say what takes long; an image may have to be built first. Workers of xdist have no terminal."""
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        capture: Any = self.config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or capture is None or self.config.option.verbose < 0:
            return
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)


class ArtifactItem(pytest.Item):
    """One artifact: passes by the one rule (`timeproof.replaying.policy`)."""

    def __init__(self, *, ref: Ref, **more: Any) -> None:
        super().__init__(**more)
        self.ref = ref
        self.add_marker("timeproof")

    def runtest(self) -> None:
        assert isinstance(self.parent, EnvironmentCollector)
        replayed = self.parent.result(self)
        self.user_properties.append(("verdict", str(replayed.verdict)))
        if replayed.witness is not None:
            self.user_properties.append(("witness", str(replayed.witness.verdict)))
        self.user_properties.append(("seconds", round(replayed.seconds, 3)))
        allowed = Verdict(self.config.option.timeproof_allow)
        if not replayed.passes(allowed, strict=self.config.option.timeproof_strict):
            command = reproduce(replayed.ref, self.parent.archive, self.config.option)
            raise ArtifactDiffersError(explain(replayed, allowed, command))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ArtifactDiffersError):
            return str(excinfo.value)
        if isinstance(excinfo.value, TimeproofError):
            error = excinfo.value
            advice = f"\nwhat to do: {error.advice}" if error.advice else ""
            return f"{self.name}: {error.message}{advice}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class ArtifactDiffersError(Exception):
    """An artifact does not pass. Its text says all that is known."""


def explain(replayed: Replayed, allowed: Verdict, command: str) -> str:
    """The verdict and its reason, what else is known, the log's end, and how to see it again."""
    lines = [f"{replayed.ref}: {replayed.verdict} ({allowed} is allowed): {replayed.reason}"]
    if replayed.witness is not None:
        lines.append(f"  {replayed.sentence()}")
    lines += [f"  {note}" for note in replayed.notes]
    if replayed.diff is not None:
        lines += [
            f"  output {name!r}: {diff.verdict}: {diff.reason}; {diff.summary()}"
            for name, diff in replayed.diff.arrays.items()
            if diff.verdict != "identical"
        ]
    lines += [f"  tried {t.way}: {t.verdict or 'not run'}: {t.summary}" for t in replayed.tried]
    if replayed.error is not None and replayed.error.advice:
        lines.append(f"  what to do: {replayed.error.advice}")
    lines += [f"  | {line}" for line in replayed.log.strip().splitlines()[-_LOG:]]
    lines.append(f"reproduce: {command}")
    return "\n".join(lines)


def _environment(archive: Archive, ref: Ref) -> str:
    try:
        return read_metadata(archive, ref).environment.name
    except BadArchive:
        return UNREADABLE  # its replay says what is wrong
