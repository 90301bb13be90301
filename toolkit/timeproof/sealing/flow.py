"""Archiving: ask the user's process, save a model's files, seal it by replaying it twice, publish it.

All or nothing. Whatever can be found out without the environment comes before it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.limits import LIMITS, Limits
from timeproof.base.progress import SILENT, Progress
from timeproof.compare.difference import OutputsDiff
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import Engine
from timeproof.errors import BadArchive, LockFailed, SealFailed
from timeproof.frameworks.base import DIFFERENT, INEXACT, RANDOM
from timeproof.images.probe_files import holds_present_probe
from timeproof.runs import image_provider
from timeproof.runs.cpu_emulator import Emulator, locate_or_fetch, store_in_archive
from timeproof.runs.environment_provider import check_choice, choose, read_lock_folder
from timeproof.runs.profiles import profile_named
from timeproof.sealing import own_answer, witnesses
from timeproof.sealing.double_run import SEEDS, Replays, SealContainers, settle_answer
from timeproof.sealing.interchange import settle_copies
from timeproof.sealing.own_answer import OwnAnswer
from timeproof.sealing.portability_proof import run_elsewhere
from timeproof.sealing.preparing import Preparation, Request
from timeproof.sealing.recording import SealRecord, metadata_of, reference_name
from timeproof.sealing.sealed_answer import SealedAnswer
from timeproof.sealing.witnesses import choose_witnesses
from timeproof.store import publish
from timeproof.store.layout import Archive, Ref, check_grid_size
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata, Proof, Witness

__all__ = ["Archived", "Request", "archive_model"]


@dataclass(frozen=True, slots=True)
class Archived:
    """A published artifact."""

    ref: Ref
    metadata: Metadata
    path: Path  # of the metadata; of an archive in a bucket, of the copy here
    own: OutputsDiff | None = None  # the user's own answer against the container's
    remarks: tuple[str, ...] = ()  # what the user should read: how far the two are apart
    place: str = ""  # what people call the path, or the address in a bucket


def archive_model(
    archive: Archive,
    request: Request,
    connect: Callable[[], Engine],
    *,
    limits: Limits = LIMITS,
    progress: Progress = SILENT,
) -> Archived:
    """Archive one model: own answer, files, environment, seal, publish.

    Args:
        connect: gives a new connection to the engine; the two seal runs take one each.

    Raises:
        BadGridSize / NotArchivable: before anything is built.
        SealFailed: the model does not replay, not twice the same, or answers otherwise than the user's own
            process; nothing was published.
        BadEnvironment / EngineFailed / StorageFailed; nothing was published.
    """
    grid_size = check_grid_size(request.grid_size)
    archive.check_place()
    check_choice(archive, request.environment, python=request.python)
    work = Preparation(request, limits, progress)
    drafting = publish.draft(archive, grid_size, work.spec.name, tag=work.spec.tag)
    with drafting as draft, atomic.storage(draft.folder):
        progress.step("Saving the model")
        work.save(draft)
        work.answer()
        sealing = _prepare_sealing(archive, work, draft, connect)
        metadata, agreement = sealing.run()
        progress.step("Publishing")
        (ref,) = draft.publish(metadata)
    path = archive.root / ref.metadata
    place = archive.public_path(str(path))
    return Archived(ref, metadata, path, agreement.difference, agreement.remarks, place)


def _prepare_sealing(
    archive: Archive, work: Preparation, draft: publish.Draft, connect: Callable[[], Engine]
) -> _Sealing:
    """See to the environment, its image and the emulator; export the copies that it can measure."""
    request, progress = work.request, work.progress
    engine = connect()
    emulating = request.prove_portable or request.witness == "emulated"
    emulator = locate_or_fetch(progress) if emulating else None
    environment = choose(
        archive,
        request.environment,
        python=request.python,
        without=request.without,
        engine_version=engine.version()["version"],
        progress=progress,
    )
    image = image_provider.provide(engine, archive, environment, progress=progress)
    work.interchange(draft, environment)
    task = work.task(draft, witnesses.witness_copies(request.witness, work.saved, work.limits))
    containers = SealContainers(connect, image.id, task, work.profile, work.limits)
    return _Sealing(work, draft, containers, environment, emulator)


@dataclass(frozen=True, slots=True)
class _Agreement:
    """How the container's answer stands to the answers that are known already."""

    difference: OutputsDiff | None = None  # to the first of them
    different: bool = False  # it is another answer, and was to be kept
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """The second references that were written, notes about those that there are not, and the proofs."""

    records: list[Witness]
    notes: list[str]
    proofs: list[Proof]


@dataclass(frozen=True, slots=True)
class _Sealing:
    """One prepared model, its environment, and the containers in which it is replayed."""

    work: Preparation
    draft: publish.Draft
    containers: SealContainers
    environment: EnvironmentRecord
    emulator: Emulator | None

    def run(self) -> tuple[Metadata, _Agreement]:
        """Replay the draft twice, hold it against the known answers, and describe it. Raises SealFailed."""
        work, request = self.work, self.work.request
        work.progress.step("Sealing: two replays in two fresh containers")
        replays = self._replay()
        sealed = SealedAnswer(replays.outputs, work.thresholds, work.scores(replays.outputs))
        agreement = self._compare_known(replays, sealed)
        copies = settle_copies(work.saved, sealed, replays.outcome, keep_inexact=request.keep_inexact)
        for file in {f.path for f in work.saved.files} - {f.path for f in copies.saved.files}:
            (self.draft.folder / file).unlink()
        second = self._write_witnesses(replays, sealed)
        marks = ((RANDOM, replays.random), (INEXACT, copies.inexact), (DIFFERENT, agreement.different))
        record = SealRecord(
            saved=replace(
                copies.saved,
                kept=(*copies.saved.kept, *(mark for mark, applies in marks if applies)),
                notes=(*copies.saved.notes, *second.notes, *agreement.remarks),
            ),
            inputs=work.inputs,
            sealed=sealed,
            replays=replays,
            difference=agreement.difference,
            copies=copies.records,
            witnesses=second.records,
            environment=self.environment,
            profile=work.profile,
            proofs=second.proofs,
            emulators=[store_in_archive(self.draft.archive, self.emulator)]
            if self.emulator is not None
            else [],
            thresholds=request.thresholds,
            tags=request.tags,
        )
        return metadata_of(self.draft, record), agreement

    def _replay(self) -> Replays:
        """Run it with two seeds; where the model does not run, what probably keeps it is named."""
        work = self.work
        runs = self.containers.run_seeds()
        try:
            return settle_answer(
                runs,
                self.environment.left_out,
                work.saved,
                self.draft.folder,
                lambda: self.containers.run_seeds(SEEDS[:1])[0],
                keep_random=work.request.keep_random,
            )
        except SealFailed as error:
            refused = any(o.failure is Verdict.refused for run in runs for o in run.outcomes.values())
            if work.from_file or not refused:
                raise
            reasons = work.adapter.differences(work.request.model, work.saved)
            if not reasons:
                raise
            raise SealFailed(
                f"{error.message}; probably: {'; '.join(reasons)}", advice=error.advice
            ) from error

    def _write_witnesses(self, replays: Replays, sealed: SealedAnswer) -> _Witnesses:
        """Write the second references, and run the model on other CPUs where that is asked for."""
        work, request = self.work, self.work.request
        choice = request.witness
        accepted, notes = choose_witnesses(choice, work.saved.framework, replays.runs, sealed)
        if replays.random:  # in float64 it would draw other numbers
            accepted, notes = [], ["there is no float64 witness: the model draws random numbers"]
        proofs: list[Proof] = []
        if self.emulator is not None:  # before the reference gets its outputs, and the task's bytes change
            elsewhere = run_elsewhere(
                self.containers,
                sealed,
                self.emulator,
                work.progress,
                prove=request.prove_portable,
                witness=choice == "emulated",
            )
            proofs = elsewhere.proofs
            if elsewhere.witness is not None:
                emulator = self.emulator.record
                accepted.append(witnesses.emulated(elsewhere.witness, elsewhere.cpu, sealed, emulator))
        tag, name = self.draft.ref.tag, reference_name(self.draft)
        records = [witnesses.write(w, self.draft.folder, tag, name, sealed) for w in accepted]
        return _Witnesses(records, notes, proofs)

    def _compare_known(self, replays: Replays, sealed: SealedAnswer) -> _Agreement:
        """Hold the container's answer against those that are known already. Raises SealFailed."""
        work = self.work
        answers = [work.own_answer] if work.own_answer is not None else []
        if work.request.expected is not None:
            answers.append(own_answer.match_expected(work.request.expected, sealed.outputs))
        if replays.random:  # another process draws other numbers
            return _Agreement(remarks=("your own answer was not compared: the model draws random numbers",))
        differences = [own_answer.measure(answer, sealed) for answer in answers]
        different = False
        for answer, difference in zip(answers, differences, strict=True):
            if not own_answer.agrees(answer, difference):
                reasons = [] if work.request.keep_different else self._reasons(answer, replays)
                own_answer.require_kept(answer, difference, reasons, keep=work.request.keep_different)
                different = True
        remarks = [own_answer.sentence(a, d) for a, d in zip(answers, differences, strict=True)]
        return _Agreement(next(iter(differences), None), different, tuple(r for r in remarks if r))

    def _reasons(self, answer: OwnAnswer, replays: Replays) -> list[str]:
        """The likeliest causes of another answer, the surest first."""
        work = self.work
        reasons: list[str] = []
        if not work.from_file:
            reasons += work.adapter.differences(work.request.model, work.saved)
        reasons += own_answer.versions_differ(work.saved.framework, replays.outcome, replays.python)
        folder = self.draft.archive.environments / self.environment.folder
        if _holds_older_probe(folder):
            reasons.append(f"the environment holds an older probe: --env {folder} builds it with this one")
        if work.profile.name != "native" and not reasons and self._agrees_without_profile(answer):
            reasons.append(
                f"the profile {work.profile.name} makes the difference: under --profile native"
                " (profile='native') the container agrees"
            )
        return reasons

    def _agrees_without_profile(self, answer: OwnAnswer) -> bool:
        """Run the model once more without a profile, and compare that."""
        (run,) = self.containers.without_copies(profile_named("native")).run_seeds(SEEDS[:1])
        (outcome,) = run.outcomes.values()
        if outcome.failure is not None:
            return False
        native = SealedAnswer(outcome.native, self.work.thresholds)
        return own_answer.agrees(answer, own_answer.measure(answer, native))


def _holds_older_probe(folder: Path) -> bool:
    """Whether an environment would get another probe now. False where its lock can't be read."""
    try:
        lock, _ = read_lock_folder(folder)
    except (BadArchive, LockFailed):
        return False
    return not holds_present_probe(lock)
