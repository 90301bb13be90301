"""Replay: artifacts run again in their own environment, and compared. A difference is a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from timeproof.base.limits import LIMITS, Limits
from timeproof.base.progress import SILENT, Progress
from timeproof.compare.verdict import Verdict
from timeproof.engines import platforms
from timeproof.engines.protocol import Engine
from timeproof.errors import BadArchive, EngineFailed, TimeproofError, WrongImage
from timeproof.replaying import provenance
from timeproof.replaying.grading import expected_outputs, judge_outcome, note_provenance, task_of
from timeproof.replaying.result import Replayed, Result
from timeproof.replaying.run_context import JudgedArtifact, RunContext
from timeproof.replaying.witnesses import any_witness_is_open, ask_witnesses
from timeproof.runs import image_provider
from timeproof.runs.image_provider import Provided
from timeproof.runs.parallel import ContainerGroups
from timeproof.runs.probe_stream import Outcome
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_artifact, read_environment
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata, ProfileRecord

_HOW = {
    "engine": "the engine has the image",
    "registry": "the image was pulled",
    "rebuilt": "the image was rebuilt",
    "stored": "the stored copy of the image was loaded",
}

OnReplayed = Callable[[Replayed], None]

__all__ = ["Replayed", "Result", "expected_outputs", "judge_outcome", "replay", "task_of"]


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """How to get each environment's image: see `image_provider.provide`."""

    mode: str = "auto"
    registry: str = ""
    no_cache: bool = False


def replay(
    archive: Archive,
    refs: Sequence[Ref],
    engine: Engine,
    *,
    image: str = "auto",
    no_cache: bool = False,
    registry: str = "",
    profile: ProfileRecord | None = None,
    limits: Limits = LIMITS,
    tries: bool = False,
    on_replayed: OnReplayed = lambda _: None,
    progress: Progress = SILENT,
) -> Result:
    """Replay artifacts, each in its own environment: one container for those that may share it.

    Where an answer is not the recorded one, its witnesses are asked. What passes, `policy` says.
    Every byte is checked first, as it is copied for the container. An artifact whose bytes are not the
    recorded ones is `altered`, and is never loaded; the others go on. One that runs code of its own has
    a container of its own.

    Args:
        image, registry: how to get each image: see `image_provider.provide`.
        profile: other numeric settings than the recorded ones; the notes say so.
        tries: run what differs in further ways, too, to find out which one restores identity.
        on_replayed: called as soon as an artifact is done.

    Raises EngineLost; what concerns one artifact or environment is in its result.
    """
    result = Result([], {}, list(engine.caveats()))

    def done(replayed: Replayed) -> None:
        result.replayed.append(replayed)
        on_replayed(replayed)

    distinct = list(dict.fromkeys(refs))
    progress.step(f"Reading {len(refs)} artifact{'s' if len(refs) != 1 else ''}")
    for (name, _), members in _by_environment(archive, distinct, profile, done).items():
        settings = profile or members[0][1].profile
        group = _Group(archive, name, members, engine, settings, limits, progress, tries)
        # An environment is rebuilt once a run, however many profiles its artifacts have.
        mode = "auto" if name in result.environments else image
        group.replay(result, ImageChoice(mode, registry, no_cache), done)
    order = {ref: k for k, ref in enumerate(distinct)}
    result.replayed.sort(key=lambda r: order[r.ref])
    return result


def _by_environment(
    archive: Archive, refs: Sequence[Ref], profile: ProfileRecord | None, done: OnReplayed
) -> dict[tuple[str, str], list[tuple[Ref, Metadata]]]:
    """Group artifacts by environment and profile; one whose metadata can't be believed is done."""
    groups: dict[tuple[str, str], list[tuple[Ref, Metadata]]] = {}
    for ref in refs:
        try:
            metadata = read_artifact(archive, ref)
        except BadArchive as error:
            done(Replayed(ref, Verdict.altered, error.message, error=error))
            continue
        settings = profile or metadata.profile
        groups.setdefault((metadata.environment.name, settings.model_dump_json()), []).append((ref, metadata))
    return groups


@dataclass(slots=True)
class _Group:
    """The artifacts of one environment under one profile, and the containers that run them."""

    archive: Archive
    name: str  # of the environment
    members: list[tuple[Ref, Metadata]]
    engine: Engine
    settings: ProfileRecord
    limits: Limits
    progress: Progress
    tries: bool = False
    notes: list[str] = field(default_factory=list)  # of every artifact

    def replay(self, result: Result, choice: ImageChoice, done: OnReplayed) -> None:
        tasks = [task_of(self.archive, ref, metadata) for ref, metadata in self.members]
        with ContainerGroups(tasks) as shares:
            altered = shares.take_altered()
            for ref, _ in self.members:
                if (error := altered.get(str(ref))) is not None:
                    done(Replayed(ref, Verdict.altered, error.message, error=error))
            self.members = [pair for pair in self.members if str(pair[0]) not in altered]
            if not self.members:
                return
            try:
                provided = self.provide(result, choice)
            except EngineFailed:  # nothing else will work either
                raise
            except TimeproofError as error:
                verdict = Verdict.altered if isinstance(error, BadArchive) else Verdict.lost
                for ref, _ in self.members:
                    done(Replayed(ref, verdict, error.message, environment=self.name, error=error))
            else:
                self.run(shares, provided, done)

    def provide(self, result: Result, choice: ImageChoice) -> Provided:
        """Put the image into the engine, and note where it came from. Raises where it can't be had."""
        record = read_environment(self.archive, self.name)
        for _, metadata in self.members:
            _check_environment_ref(metadata, record)
        provided = image_provider.provide(
            self.engine,
            self.archive,
            record,
            mode=choice.mode,
            registry=choice.registry,
            no_cache=choice.no_cache,
            progress=self.progress,
        )
        if platforms.emulated(self.engine.version()["arch"], record.image.platform):
            self.notes.append(platforms.note(record.image.platform))
        result.environments.setdefault(self.name, provided.source)
        if provided.note:
            result.notes.append(f"{self.name}: {_HOW[provided.source]}; {provided.note}")
        return provided

    def run(self, shares: ContainerGroups, provided: Provided, done: OnReplayed) -> None:
        """Run the members, and ask the witnesses of those whose answers are not settled."""
        members = {str(ref): (ref, metadata) for ref, metadata in self.members}
        unsettled: list[JudgedArtifact] = []

        def judge(outcome: Outcome) -> None:
            ref, metadata = members[outcome.id]
            replayed = self.judge(ref, metadata, outcome, provided.source)
            self.progress.detail(outcome.id)
            if (self.tries and not replayed.ok) or any_witness_is_open(metadata, replayed):
                unsettled.append(JudgedArtifact(ref, metadata, replayed))
            else:
                done(replayed)

        self.progress.step(f"Replaying {len(self.members)} in {self.name}")
        shares.run(self.engine, provided.id, self.settings, limits=self.limits, on_outcome=judge)
        context = RunContext(
            self.archive, self.engine, provided.id, self.settings, self.limits, self.progress
        )
        ask_witnesses(context, unsettled)
        if self.tries:
            from timeproof.replaying.explain import try_ways  # seldom needed

            try_ways(context, unsettled)
        for judged in unsettled:
            done(judged.result)

    def judge(self, ref: Ref, metadata: Metadata, outcome: Outcome, source: str) -> Replayed:
        replayed = judge_outcome(self.archive, ref, metadata, outcome)
        outcome.outputs = {}  # memory is bounded by one artifact
        replayed.environment, replayed.image_source = self.name, source
        replayed.profile = self.settings.name
        replayed.notes += self.notes
        image = metadata.environment.image.config  # proved when the image was provided
        now = provenance.present(metadata, outcome.hello, outcome.versions, self.settings, image)
        note_provenance(replayed, provenance.recorded(metadata), now)
        return replayed


def _check_environment_ref(metadata: Metadata, record: EnvironmentRecord) -> None:
    recorded = metadata.environment
    if recorded.lock_sha256 != record.lock_sha256:
        raise WrongImage("lock", recorded.lock_sha256, record.lock_sha256)
    if recorded.image.config != record.image.config or recorded.image.diff_ids != record.image.diff_ids:
        raise WrongImage("config digest", recorded.image.config, record.image.config)
    if recorded.image.manifest != record.image.manifest:
        raise WrongImage("manifest digest", recorded.image.manifest, record.image.manifest)
