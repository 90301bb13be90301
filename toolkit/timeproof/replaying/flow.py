"""Replay: artifacts run again in their own environment, and compared. A difference is a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from timeproof.base.limits import LIMITS, Limits
from timeproof.base.progress import SILENT, Progress
from timeproof.compare.verdict import Verdict
from timeproof.engines import platforms
from timeproof.engines.protocol import Engine
from timeproof.errors import BadArchive, TimeproofError, WrongImage
from timeproof.replaying import provenance
from timeproof.replaying.grading import (
    expected_outputs,
    explain,
    judge_outcome,
    judge_witness,
    task_of,
    to_be_asked,
)
from timeproof.replaying.result import Replayed, Result
from timeproof.runs import image_provider
from timeproof.runs.container_run import run_probe
from timeproof.runs.parallel import ContainerGroups, run_shared
from timeproof.runs.probe_stream import Outcome
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata, ProfileRecord
from timeproof.store.verify import read_artifact, read_environment

_HOW = {
    "engine": "the engine has the image",
    "registry": "the image was pulled",
    "rebuilt": "the image was rebuilt",
    "stored": "the stored copy of the image was loaded",
}

Judged = tuple[Ref, Metadata, Replayed]

__all__ = ["Replayed", "Result", "expected_outputs", "judge_outcome", "replay", "task_of"]


def _check_environment_ref(metadata: Metadata, record: EnvironmentRecord) -> None:
    told = metadata.environment
    if told.lock_sha256 != record.lock_sha256:
        raise WrongImage("lock", told.lock_sha256, record.lock_sha256)
    if told.image.config != record.image.config or told.image.diff_ids != record.image.diff_ids:
        raise WrongImage("config digest", told.image.config, record.image.config)
    if told.image.manifest != record.image.manifest:
        raise WrongImage("manifest digest", told.image.manifest, record.image.manifest)


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
    on_replayed: Callable[[Replayed], None] = lambda _: None,
    progress: Progress = SILENT,
) -> Result:
    """Replay artifacts, each in its own environment: one container for those that may share it.

    Where an answer is not the recorded one, its witnesses are asked: see `Replayed.passes`.
    Every byte is checked first, as it is copied for the container. An artifact whose bytes are not the
    recorded ones is `altered`, and is never loaded; the others go on. One that runs code of its own has
    a container of its own.

    Args:
        image, registry: how to get each image: see `images.provide`.
        profile: other numeric settings than the recorded ones; the notes say so.
        tries: run what differs in further ways, too, to find out which one restores identity.
        on_replayed: called as soon as an artifact is done.

    Raises EngineLost; what concerns one artifact or environment is in its result.
    """
    result = Result([], {}, list(engine.caveats()))

    def done(one: Replayed) -> None:
        result.replayed.append(one)
        on_replayed(one)

    progress.step(f"Reading {len(refs)} artifact{'s' if len(refs) != 1 else ''}")
    groups: dict[tuple[str, str], list[tuple[Ref, Metadata]]] = {}
    for ref in dict.fromkeys(refs):
        try:
            metadata = read_artifact(archive, ref)
        except BadArchive as error:
            done(Replayed(ref, Verdict.altered, error.message, error=error))
            continue
        settings = profile or metadata.profile
        groups.setdefault((metadata.environment.name, settings.model_dump_json()), []).append((ref, metadata))
    for (name, _), members in groups.items():
        group = _Group(archive, name, members, engine, profile or members[0][1].profile, limits, progress)
        group.tries = tries
        # An environment is rebuilt once a run, however many profiles its artifacts have.
        mode = "auto" if name in result.environments else image
        group.replay(result, mode, no_cache, registry, done)
    order = {ref: k for k, ref in enumerate(dict.fromkeys(refs))}
    result.replayed.sort(key=lambda r: order[r.ref])
    return result


@dataclass(slots=True)
class _Group:
    """The artifacts of one environment under one profile, and the containers that ask them."""

    archive: Archive
    name: str  # of the environment
    members: list[tuple[Ref, Metadata]]
    engine: Engine
    settings: ProfileRecord
    limits: Limits
    progress: Progress
    tries: bool = False
    image: str = ""  # as the engine knows it
    source: str = ""
    notes: list[str] = field(default_factory=list)  # of every one

    def replay(
        self,
        result: Result,
        mode: str,
        no_cache: bool,
        registry: str,
        done: Callable[[Replayed], None],
    ) -> None:
        tasks = [task_of(self.archive, ref, metadata) for ref, metadata in self.members]
        with ContainerGroups(tasks) as shares:
            altered = shares.take_altered()
            for ref, _ in self.members:
                if (error := altered.get(str(ref))) is not None:
                    done(Replayed(ref, Verdict.altered, error.message, error=error))
            self.members = [pair for pair in self.members if str(pair[0]) not in altered]
            if self.members and self.provide(result, mode, no_cache, registry, done):
                self.run(shares, done)

    def provide(
        self, result: Result, mode: str, no_cache: bool, registry: str, done: Callable[[Replayed], None]
    ) -> bool:
        """Put the image into the engine; where it can't be had, all members are done."""
        try:
            record = read_environment(self.archive, self.name)
            for _, metadata in self.members:
                _check_environment_ref(metadata, record)
            provided = image_provider.provide(
                self.engine,
                self.archive,
                record,
                mode=mode,
                registry=registry,
                no_cache=no_cache,
                progress=self.progress,
            )
        except TimeproofError as error:
            if error.exit_code == 6:  # the engine: nothing else will work either
                raise
            for ref, _ in self.members:
                verdict = Verdict.altered if isinstance(error, BadArchive) else Verdict.lost
                done(Replayed(ref, verdict, error.message, environment=self.name, error=error))
            return False
        self.image, self.source = provided.id, provided.source
        if platforms.emulated(self.engine.version()["arch"], record.image.platform):
            self.notes.append(platforms.note(record.image.platform))
        result.environments.setdefault(self.name, provided.source)
        if provided.note:
            result.notes.append(f"{self.name}: {_HOW[provided.source]}; {provided.note}")
        return True

    def run(self, shares: ContainerGroups, done: Callable[[Replayed], None]) -> None:
        """Ask the members, and the witnesses of those whose answers are not settled."""
        known = {str(ref): (ref, metadata) for ref, metadata in self.members}
        open_: dict[str, Replayed] = {}

        def judged(outcome: Outcome) -> None:
            ref, metadata = known[outcome.id]
            one = self.judge(ref, metadata, outcome)
            self.progress.detail(outcome.id)
            if (self.tries and not one.ok) or any(to_be_asked(metadata, one, kind) for kind in _ASKED):
                open_[outcome.id] = one
            else:
                done(one)

        self.progress.step(f"Replaying {len(self.members)} in {self.name}")
        shares.run(self.engine, self.image, self.settings, limits=self.limits, on_outcome=judged)
        judged_ones = [(*known[id_], one) for id_, one in open_.items()]
        for kind in _ASKED:
            self.ask(kind, judged_ones)
        if self.tries:
            from timeproof.replaying.explain import try_ways  # seldom needed

            try_ways(
                self.archive,
                self.engine,
                self.image,
                self.settings,
                judged_ones,
                self.limits,
                self.progress,
            )
        for one in open_.values():
            done(one)

    def judge(self, ref: Ref, metadata: Metadata, outcome: Outcome) -> Replayed:
        one = judge_outcome(self.archive, ref, metadata, outcome)
        outcome.outputs = {}  # memory is bounded by one artifact
        one.environment, one.image_source, one.profile = self.name, self.source, self.settings.name
        one.notes += self.notes
        image = metadata.environment.image.config  # proved when the image was provided
        here = provenance.present(metadata, outcome.hello, outcome.versions, self.settings, image)
        explain(one, provenance.recorded(metadata), here)
        return one

    def ask(self, kind: str, judged: Sequence[Judged]) -> None:
        """Ask the witnesses of that kind about the answers that are not settled."""
        asked = {str(r): (r, m, one) for r, m, one in judged if to_be_asked(m, one, kind)}
        if not asked:
            return

        def heard(outcome: Outcome) -> None:
            ref, metadata, one = asked[outcome.id]
            judge_witness(self.archive, ref, metadata, one, kind, outcome)
            outcome.outputs = {}

        self.progress.step(f"Asking {len(asked)} {kind} witness{'es' if len(asked) != 1 else ''}")
        if kind == "emulated":
            self.simulate(asked, heard)
            return
        tasks = [task_of(self.archive, ref, metadata, witness=kind) for ref, metadata, _ in asked.values()]
        run_shared(self.engine, self.image, tasks, self.settings, limits=self.limits, on_outcome=heard)

    def simulate(self, asked: Mapping[str, Judged], heard: Callable[[Outcome], None]) -> None:
        """Ask the model as it was recorded, on the CPU that was simulated then: a container for each."""
        from timeproof.runs.cpu_emulator import Simulated, recorded_emulator, slowed  # seldom needed

        for name, (ref, metadata, _) in asked.items():
            witness = next(w for w in metadata.witnesses if w.kind == "emulated")
            try:
                emulator = recorded_emulator(self.archive, metadata, witness.options.get("emulator"))
            except TimeproofError as error:
                failure = Verdict.altered if isinstance(error, BadArchive) else Verdict.lost
                heard(Outcome(name, failure, error.message))
                continue
            run_probe(
                self.engine,
                self.image,
                [task_of(self.archive, ref, metadata)],
                metadata.profile,
                limits=slowed(self.limits),
                on_outcome=heard,
                simulated=Simulated(emulator, str(witness.options.get("cpu"))),
            )


_ASKED = ("float64", "emulated")  # the kinds that take further containers, the cheapest first
