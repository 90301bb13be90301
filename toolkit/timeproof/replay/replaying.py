"""Replay: artifacts run again in their own environment, and compared. A difference is a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from timeproof.archive.layout import Archive, Ref
from timeproof.archive.model import ImageRecord, Metadata, ProfileRecord
from timeproof.archive.verify import check_artifact, read_environment
from timeproof.engine import platforms
from timeproof.engine.base import Engine
from timeproof.errors import BadArchive, TimeproofError, WrongImage
from timeproof.limits import LIMITS, Limits
from timeproof.paths import open_regular
from timeproof.progress import SILENT, Progress
from timeproof.replay import images
from timeproof.replay.probing import Outcome, Task, run_probe
from timeproof.replay.verdict import Verdict

if TYPE_CHECKING:
    from timeproof.archive.reference import Array
    from timeproof.replay.difference import OutputsDiff

_HOW = {
    "engine": "the engine has the image",
    "registry": "the image was pulled",
    "rebuilt": "the image was rebuilt",
    "stored": "the stored copy of the image was loaded",
}


@dataclass(slots=True)
class Replayed:
    """What the replay of one artifact found."""

    ref: Ref
    verdict: Verdict
    reason: str = ""
    environment: str = ""
    image_source: str = ""  # engine, registry, rebuilt or stored
    diff: OutputsDiff | None = None
    seconds: float = 0.0  # inside the container
    outputs: int = 0
    bytes: int = 0
    profile: str = ""
    notes: list[str] = field(default_factory=list)
    error: TimeproofError | None = None
    log: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.identical

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json` and every report."""
        return {
            "artifact": str(self.ref),
            "verdict": str(self.verdict),
            "reason": self.reason,
            "environment": self.environment,
            "image": self.image_source,
            "profile": self.profile,
            "seconds": round(self.seconds, 3),
            "outputs": self.outputs,
            "bytes": self.bytes,
            "notes": list(self.notes),
            "difference": self.diff.to_json() if self.diff is not None else None,
            "error": self.error.facts() if self.error is not None else None,
            "log": self.log,
        }


@dataclass(slots=True)
class Result:
    """What a replay of several artifacts found: the one value that every report renders."""

    replayed: list[Replayed]
    environments: dict[str, str]  # folder → where its image came from
    notes: list[str] = field(default_factory=list)

    def passes(self, allowed: Verdict = Verdict.identical) -> bool:
        """Whether every artifact's verdict is `allowed` or better, and there is one at all."""
        return bool(self.replayed) and all(r.verdict.allowed_by(allowed) for r in self.replayed)

    @property
    def exit_code(self) -> int:
        """The worst of the errors' exit codes; 0 where there was none. Verdicts are not in it."""
        return max((r.error.exit_code for r in self.replayed if r.error), default=0)

    def to_json(self) -> dict[str, Any]:
        counts: dict[str, int] = {}
        for one in self.replayed:
            counts[str(one.verdict)] = counts.get(str(one.verdict), 0) + 1
        return {
            "replayed": [r.to_json() for r in self.replayed],
            "counts": counts,
            "environments": dict(self.environments),
            "notes": list(self.notes),
        }


def task_of(archive: Archive, ref: Ref, metadata: Metadata) -> Task:
    """What the probe is told of one published artifact."""
    return Task(
        id=str(ref),
        framework=metadata.framework.name,
        folder=archive.root / ref.folder,
        files=tuple(f for f in metadata.files if f.role != "optional"),
        model=metadata.model.file,
        inputs_file=metadata.file("reference").path,
        input_names=tuple(i.name for i in metadata.inputs),
        options=metadata.model.options,
    )


def expected_outputs(archive: Archive, ref: Ref, metadata: Metadata) -> dict[str, Array]:
    """Read the recorded outputs. Raises BadArchive."""
    from timeproof.archive.reference import read  # with NumPy: not before the container runs

    path = f"{ref.folder}/{metadata.file('reference').path}"
    with open_regular(archive.root, path) as stream:
        return read(stream, metadata.outputs, archive.root / path)


def _check_environment_ref(metadata: Metadata, record: ImageRecord) -> None:
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
    on_replayed: Callable[[Replayed], None] = lambda _: None,
    progress: Progress = SILENT,
) -> Result:
    """Replay artifacts, each in its own environment: one container an environment.

    Every byte is checked first. An artifact whose bytes are not the recorded ones is `altered`, and is
    never loaded; the others go on.

    Args:
        image, registry: how to get each image: see `images.provide`.
        profile: other numeric settings than the recorded ones; the notes say so.
        on_replayed: called as soon as an artifact is done.

    Raises EngineLost; what concerns one artifact or environment is in its result.
    """
    result = Result([], {}, list(engine.caveats()))

    def done(one: Replayed) -> None:
        result.replayed.append(one)
        on_replayed(one)

    progress.step(f"Checking {len(refs)} artifact{'s' if len(refs) != 1 else ''}")
    groups: dict[tuple[str, str], list[tuple[Ref, Metadata]]] = {}
    for ref in dict.fromkeys(refs):
        try:
            metadata = check_artifact(archive, ref)
        except BadArchive as error:
            done(Replayed(ref, Verdict.altered, error.message, error=error))
            continue
        settings = profile or metadata.profile
        groups.setdefault((metadata.environment.name, settings.model_dump_json()), []).append((ref, metadata))
    for (name, _), members in groups.items():
        _replay_group(
            archive, name, members, engine, result, image, no_cache, registry, profile, limits, done, progress
        )
    order = {ref: k for k, ref in enumerate(dict.fromkeys(refs))}
    result.replayed.sort(key=lambda r: order[r.ref])
    return result


def _replay_group(
    archive: Archive,
    name: str,
    members: list[tuple[Ref, Metadata]],
    engine: Engine,
    result: Result,
    mode: str,
    no_cache: bool,
    registry: str,
    profile: ProfileRecord | None,
    limits: Limits,
    done: Callable[[Replayed], None],
    progress: Progress,
) -> None:
    """Replay the artifacts of one environment under one profile, in one container."""
    try:
        record = read_environment(archive, name)
        for _, metadata in members:
            _check_environment_ref(metadata, record)
        # An environment is rebuilt once a run, however many profiles its artifacts have.
        again = "auto" if name in result.environments else mode
        provided = images.provide(
            engine, archive, record, mode=again, registry=registry, no_cache=no_cache, progress=progress
        )
    except TimeproofError as error:
        if error.exit_code == 6:  # the engine: nothing else will work either
            raise
        for ref, _ in members:
            verdict = Verdict.altered if isinstance(error, BadArchive) else Verdict.lost
            done(Replayed(ref, verdict, error.message, environment=name, error=error))
        return
    result.environments.setdefault(name, provided.source)
    notes = []
    if platforms.emulated(engine.version()["arch"], record.image.platform):
        notes.append(platforms.note(record.image.platform))
    if provided.note:
        result.notes.append(f"{name}: {_HOW[provided.source]}; {provided.note}")
    progress.step(f"Replaying {len(members)} in {name}")
    known = {str(ref): (ref, metadata) for ref, metadata in members}
    settings = profile or members[0][1].profile
    hello: dict[str, Any] = {}

    def judge(outcome: Outcome) -> None:
        ref, metadata = known[outcome.id]
        one = judge_outcome(archive, ref, metadata, outcome)
        one.environment, one.image_source, one.profile = name, provided.source, settings.name
        one.notes += notes
        if settings != metadata.profile:
            one.notes.append(
                f"replayed under the profile {settings.name}; recorded under {metadata.profile.name}"
            )
        if not one.ok:
            one.notes += _explanations(metadata, hello)
        outcome.outputs = {}  # memory is bounded by one artifact
        progress.detail(outcome.id)
        done(one)

    run_probe(
        engine,
        provided.id,
        [task_of(archive, ref, metadata) for ref, metadata in members],
        settings,
        limits=limits,
        on_outcome=judge,
        hello=hello,
    )


def judge_outcome(archive: Archive, ref: Ref, metadata: Metadata, outcome: Outcome) -> Replayed:
    """Grade what the probe gave for one artifact against its reference."""
    one = Replayed(ref, Verdict.lost, outcome.reason, seconds=outcome.seconds, log=outcome.log)
    if outcome.failure is not None:
        one.verdict = outcome.failure
        if outcome.signal:
            one.reason = f"signal {outcome.signal}: {one.reason}"
        return one
    try:
        expected = expected_outputs(archive, ref, metadata)
    except BadArchive as error:
        one.verdict, one.reason, one.error = Verdict.altered, error.message, error
        return one
    from timeproof.replay.compare import compare_outputs  # with NumPy, as above

    one.diff = compare_outputs(expected, outcome.native)
    one.verdict, one.reason = one.diff.verdict, one.diff.summary()
    one.outputs = len(expected)
    one.bytes = sum(a.nbytes for a in expected.values())
    return one


def _explanations(metadata: Metadata, hello: dict[str, Any]) -> list[str]:
    """What is not as it was recorded on this machine; the image and the bytes were proved before."""
    machine = hello.get("machine")
    here = machine if isinstance(machine, dict) else {}
    notes = []
    for key, what in (("cpu", "CPU"), ("arch", "architecture"), ("kernel", "kernel")):
        then, now = metadata.machine.get(key), here.get(key)
        if then and now and then != now:
            notes.append(f"the {what} is {now}; it was {then} when the artifact was sealed")
    return notes
