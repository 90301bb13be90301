"""Archiving: ask the user's process, save a model's files, seal it by replaying it twice, publish it.

All or nothing. Whatever can be found out without the environment comes before it is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.limits import LIMITS, Limits
from timeproof.base.progress import SILENT, Progress
from timeproof.compare.difference import OutputsDiff
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import Engine
from timeproof.errors import SealFailed
from timeproof.images.probe_files import holds_present_probe
from timeproof.runs import image_provider
from timeproof.runs.container_run import Task
from timeproof.runs.cpu_emulator import Emulator, locate_or_fetch, store_in_archive
from timeproof.runs.environment_provider import choose, read_lock_folder
from timeproof.runs.probe_stream import Outcome, ProbeRun
from timeproof.runs.profiles import profile_named
from timeproof.sealing import interchange, own_answer, witnesses
from timeproof.sealing.double_run import SEEDS, Arrays, seal, settled
from timeproof.sealing.own_answer import OwnAnswer
from timeproof.sealing.portability_proof import Elsewhere, elsewhere
from timeproof.sealing.preparing import Preparation, Request
from timeproof.sealing.recording import SealRecord, metadata_of, reference_name
from timeproof.store import publish
from timeproof.store.layout import Archive, Ref, check_grid_size
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata, Witness

__all__ = ["Archived", "Request", "archive_model"]


@dataclass(frozen=True, slots=True)
class Archived:
    """A published artifact."""

    ref: Ref
    metadata: Metadata
    path: Path  # of the metadata
    own: OutputsDiff | None = None  # the user's own answer against the container's
    remarks: tuple[str, ...] = ()  # what the user should read: how far the two are apart


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
    work = Preparation(request, profile_named(request.profile), limits, progress)
    drafting = publish.draft(archive, grid_size, work.spec.name, tag=work.spec.tag)
    with drafting as draft, atomic.storage(draft.folder):
        progress.step("Saving the model")
        work.save(draft)
        work.answer()
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
        provided = image_provider.provide(engine, archive, environment, progress=progress)
        work.interchange(draft, environment)
        sealing = _Sealing(work, draft, connect, provided.id, environment, emulator)
        metadata, own, remarks = sealing.run()
        progress.step("Publishing")
        return Archived(draft.ref, metadata, draft.publish(metadata), own, remarks)


@dataclass(frozen=True, slots=True)
class _Sealing:
    """One prepared model, its environment, and the engine that replays it."""

    work: Preparation
    draft: publish.Draft
    connect: Callable[[], Engine]
    image: str  # an id that the engine holds
    environment: EnvironmentRecord
    emulator: Emulator | None

    def run(self) -> tuple[Metadata, OutputsDiff | None, tuple[str, ...]]:
        """Replay the draft twice, hold it against the own answer, and describe it.

        Returns the metadata, the difference to the user's own answer, and remarks. Raises SealFailed.
        """
        work, request = self.work, self.work.request
        task = work.task(self.draft, witnesses.asked(request.witness, work.saved, work.limits))
        work.progress.step("Sealing: two replays in two fresh containers")
        runs = self._replay(task, SEEDS)
        outputs, first, random = self._settled(task, runs)
        scores = work.scores(outputs)
        own, different, remarks = self._agreement(task, outputs, first, runs, random, scores)
        saved, records, inexact = interchange.settle(
            work.saved, outputs, first, work.thresholds, scores, keep_inexact=request.keep_inexact
        )
        for file in {f.path for f in work.saved.files} - {f.path for f in saved.files}:
            (self.draft.folder / file).unlink()
        second, notes, other = self._witnesses(task, runs, outputs, random, scores)
        saved = replace(
            saved,
            kept=(*saved.kept, *random, *inexact, *different),
            notes=(*saved.notes, *notes, *remarks),
        )
        record = SealRecord(
            saved=saved,
            inputs=work.inputs,
            outputs=outputs,
            outcome=first,
            runs=runs,
            own=own,
            copies=records,
            witnesses=second,
            environment=self.environment,
            profile=work.profile,
            proofs=other.proofs,
            emulators=[store_in_archive(self.draft.archive, self.emulator)]
            if self.emulator is not None
            else [],
            scores=scores,
            thresholds=request.thresholds,
            tags=request.tags,
        )
        return metadata_of(self.draft, record), own, remarks

    def _settled(self, task: Task, runs: Sequence[ProbeRun]) -> tuple[Arrays, Outcome, tuple[str, ...]]:
        """What `sealing.settled` gives; where the model does not run, what probably keeps it is named."""
        work = self.work
        try:
            return settled(
                runs,
                self.environment.left_out,
                work.saved,
                self.draft.folder,
                lambda: self._replay(task, SEEDS[:1])[0],
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

    def _replay(self, task: Task, seeds: Sequence[int]) -> list[ProbeRun]:
        return seal(self.connect, self.image, task, self.work.profile, self.work.limits, seeds)

    def _witnesses(
        self,
        task: Task,
        runs: Sequence[ProbeRun],
        outputs: Arrays,
        random: Sequence[str],
        scores: Mapping[str, bool],
    ) -> tuple[list[Witness], list[str], Elsewhere]:
        """Write the second references; give them, notes, and what other CPUs answered."""
        work, request = self.work, self.work.request
        choice, framework = request.witness, work.saved.framework
        accepted, notes = witnesses.found(choice, framework, runs, outputs, work.thresholds, scores)
        if random:  # in float64 it would draw other numbers
            accepted, notes = [], ["there is no float64 witness: the model draws random numbers"]
        other = Elsewhere()
        if self.emulator is not None:  # before the reference gets its outputs, and the task's bytes change
            other = elsewhere(
                self.connect,
                self.image,
                task,
                work.profile,
                outputs,
                self.emulator,
                work.limits,
                work.progress,
                prove=request.prove_portable,
                witness=choice == "emulated",
                thresholds=work.thresholds,
                scores=scores,
            )
            if other.witness is not None:
                record = self.emulator.record
                accepted.append(
                    witnesses.emulated(other.witness, other.cpu, outputs, record, work.thresholds, scores)
                )
        tag, name = self.draft.ref.tag, reference_name(self.draft)
        written = [witnesses.write(w, self.draft.folder, tag, name, outputs, scores) for w in accepted]
        return written, notes, other

    def _agreement(
        self,
        task: Task,
        outputs: Arrays,
        first: Outcome,
        runs: Sequence[ProbeRun],
        random: Sequence[str],
        scores: Mapping[str, bool],
    ) -> tuple[OutputsDiff | None, tuple[str, ...], tuple[str, ...]]:
        """Hold the container's answer against the known ones. Raises SealFailed.

        Returns the difference to the first of them, what was kept, and remarks for the user.
        """
        work = self.work
        known = [work.own] if work.own is not None else []
        if work.request.expected is not None:
            known.append(own_answer.handed_in(work.request.expected, outputs))
        if random:  # another process draws other numbers
            return None, (), ("your own answer was not compared: the model draws random numbers",)
        differences = [own_answer.measure(own, outputs, work.thresholds, scores) for own in known]
        python = str(runs[0].hello.get("python", ""))
        kept: tuple[str, ...] = ()
        for own, difference in zip(known, differences, strict=True):
            if not own_answer.agrees(own, difference):
                reasons = [] if work.request.keep_different else self._reasons(task, own, first, python)
                kept = own_answer.keep_or_refuse(own, difference, reasons, keep=work.request.keep_different)
        remarks = [own_answer.sentence(o, d) for o, d in zip(known, differences, strict=True)]
        return next(iter(differences), None), kept, tuple(r for r in remarks if r)

    def _reasons(self, task: Task, own: OwnAnswer, first: Outcome, python: str) -> list[str]:
        """The likeliest causes of another answer, the surest first."""
        work = self.work
        listed: list[str] = []
        if not work.from_file:
            listed += work.adapter.differences(work.request.model, work.saved)
        listed += own_answer.versions_differ(work.saved.framework, first, python)
        folder = self.draft.archive.environments / self.environment.folder
        lock, _ = read_lock_folder(folder)
        if not holds_present_probe(lock):
            listed.append(f"the environment holds an older probe: --env {folder} builds it with this one")
        if work.profile.name != "native" and not listed:
            alone = replace(task, copies=())
            native = profile_named("native")
            (run,) = seal(self.connect, self.image, alone, native, work.limits, SEEDS[:1])
            (outcome,) = run.outcomes.values()
            if outcome.failure is None and own_answer.agrees(
                own, own_answer.measure(own, outcome.native, work.thresholds)
            ):
                listed.append(
                    f"the profile {work.profile.name} makes the difference: under --profile native"
                    " (profile='native') the container agrees"
                )
        return listed
