"""Archiving: save a model's files, seal it by replaying it twice, publish it. All or nothing."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from timeproof import atomic
from timeproof.archive import reference, writer
from timeproof.archive.layout import Archive, Ref, check_grid_size
from timeproof.archive.model import (
    Copy,
    EnvironmentRef,
    Framework,
    ImageRecord,
    Metadata,
    Model,
    ProfileRecord,
    Witness,
)
from timeproof.engine.base import Engine
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Adapter, Saved, SaveOptions
from timeproof.frameworks.choose import adapter_for, adapter_for_file
from timeproof.frameworks.conversions import with_copies
from timeproof.frameworks.inputs import read_inputs
from timeproof.image.build import utc_now
from timeproof.limits import LIMITS, Limits
from timeproof.progress import SILENT, Progress
from timeproof.replay import copies, images, quantised, witnesses
from timeproof.replay.choosing import choose
from timeproof.replay.compare import OutputsDiff, compare_outputs
from timeproof.replay.emulation import find, keep
from timeproof.replay.outcome import Outcome, ProbeRun
from timeproof.replay.probing import Task
from timeproof.replay.profile import profile_named
from timeproof.replay.proving import Elsewhere, elsewhere
from timeproof.replay.sealing import SEEDS, Arrays, seal, settled
from timeproof.replay.verdict import Thresholds
from timeproof.version import VERSION


@dataclass(frozen=True, slots=True)
class Request:
    """What to archive, and how. `model` is a live model, or the path of a model file."""

    model: object
    inputs: object
    grid_size: object
    environment: str | Path | None = None
    python: Path | None = None
    without: Sequence[str] = ()
    profile: str | Path = "portable"
    prove_portable: bool = False  # also run it on simulated CPUs, and record what moved
    witness: str = "auto"  # one of witnesses.CHOICES
    thresholds: Mapping[str, float] = field(default_factory=dict)  # the scale's figures, for this artifact
    tags: Mapping[str, str] = field(default_factory=dict)
    options: SaveOptions = field(default_factory=SaveOptions)
    copies: Mapping[str, object] = field(default_factory=dict)  # format → path: somebody's conversion
    keep_inexact: bool = False  # a copy further than rounding from the model
    keep_random: bool = False  # a model whose answer depends on a seed


@dataclass(frozen=True, slots=True)
class Archived:
    """A published artifact."""

    ref: Ref
    metadata: Metadata
    path: Path  # of the metadata


def archive_model(
    archive: Archive,
    request: Request,
    connect: Callable[[], Engine],
    *,
    limits: Limits = LIMITS,
    progress: Progress = SILENT,
) -> Archived:
    """Archive one model: environment, files, seal, publish.

    Args:
        connect: gives a new connection to the engine; the two seal runs take one each.

    Raises:
        BadGridSize / NotArchivable: before anything is written.
        SealFailed: the model does not replay, or not twice the same; nothing was published.
        BadEnvironment / EngineFailed / StorageFailed; nothing was published.
    """
    grid_size = check_grid_size(request.grid_size)
    archive.check_place()
    profile = profile_named(request.profile)
    thresholds = Thresholds.of(request.thresholds)
    adapter, from_file = _adapter(request.model)
    witnesses.check_choice(request.witness, adapter.name)
    inputs = read_inputs(adapter, request.model, request.inputs)
    for input_name, array in inputs.items():
        reference.spec_of(input_name, "input_0", array)  # refuses what no file holds, before the long work
    engine = connect()
    emulating = request.prove_portable or request.witness == "emulated"
    emulator = find(progress) if emulating else None
    environment = choose(
        archive,
        request.environment,
        python=request.python,
        without=request.without,
        engine_version=engine.version()["version"],
        progress=progress,
    )
    provided = images.provide(engine, archive, environment, progress=progress)
    with writer.draft(archive, grid_size, adapter.name) as draft, atomic.storage(draft.folder):
        progress.step("Saving the model")
        own_onnx = request.options.onnx and not request.copies
        options = replace(request.options, timestamp=utc_now(), onnx=own_onnx)
        saving = adapter.save_file if from_file else adapter.save
        saved = saving(request.model, inputs, draft.folder, draft.ref.tag, options)  # type: ignore[arg-type]  # a path where from_file
        saved = quantised.check(saved, profile, keep=options.keep_saturating)
        saved = with_copies(
            saved, request.copies, inputs, draft.folder, draft.ref.tag, options, inexact=request.keep_inexact
        )
        inputs = inputs.renamed(saved.input_names)
        own = None if from_file else _own_answers(adapter, request.model, inputs, saved)
        task = _task(draft, saved, inputs, witnesses.asked(request.witness, saved, limits))
        progress.step("Sealing: two replays in two fresh containers")
        runs = seal(connect, provided.id, task, profile, limits)
        outputs, first, random = settled(
            runs,
            environment.left_out,
            saved,
            draft.folder,
            lambda: seal(connect, provided.id, task, profile, limits, SEEDS[:1])[0],
            keep_random=request.keep_random,
        )
        measured = copies.runnable(saved, first)
        records = [copies.record(outputs, c, first, thresholds) for c in measured.copies]
        inexact = copies.check(measured.copies, records, keep_inexact=request.keep_inexact)
        found, notes = witnesses.found(request.witness, saved.framework, runs, outputs, thresholds)
        if random:  # in float64 it would draw other numbers
            found, notes = [], ["there is no float64 witness: the model draws random numbers"]
        other = Elsewhere()
        if emulator is not None:  # before the reference gets its outputs, and the task's bytes change
            other = elsewhere(
                connect,
                provided.id,
                task,
                profile,
                outputs,
                emulator,
                limits,
                progress,
                prove=request.prove_portable,
                witness=request.witness == "emulated",
                thresholds=thresholds,
            )
            if other.witness is not None:
                found.append(
                    witnesses.emulated(other.witness, other.cpu, outputs, emulator.record, thresholds)
                )
        for file in set(saved.files) - set(measured.files):
            (draft.folder / file.path).unlink()
        notes = [*measured.notes, *notes]
        saved = replace(measured, kept=(*saved.kept, *random, *inexact), notes=tuple(notes))
        second = [
            witnesses.write(f, draft.folder, draft.ref.tag, _reference_name(draft), outputs) for f in found
        ]
        metadata = _metadata(
            draft, saved, inputs, outputs, own, first, runs, records, second, environment, profile, request
        )
        if emulator is not None:
            emulated = keep(archive, emulator)
            metadata = metadata.model_copy(update={"proofs": other.proofs, "emulators": [emulated]})
        progress.step("Publishing")
        return Archived(draft.ref, metadata, draft.publish(metadata))


def _adapter(model: object) -> tuple[Adapter, bool]:
    if isinstance(model, Path):
        if not model.is_file():
            raise NotArchivable(f"{model} is not a file", advice="give the path of a model file")
        return adapter_for_file(model), True
    return adapter_for(model), False


def _own_answers(adapter: Adapter, model: object, inputs: Arrays, saved: Saved) -> Arrays | None:
    """What the training process itself answers; None where it can't run the model (a bare .onnx)."""
    try:
        return adapter.answers(model, inputs, saved)
    except NotArchivable:
        return None


def _reference_name(draft: writer.Draft) -> str:
    return f"reference_{draft.ref.tag}.npz"


def _write_reference(draft: writer.Draft, **groups: Arrays) -> None:
    stream = io.BytesIO()
    reference.write(stream, **groups)
    (draft.folder / _reference_name(draft)).write_bytes(stream.getbuffer())


def _task(draft: writer.Draft, saved: Saved, inputs: Arrays, more: Sequence[Mapping[str, Any]]) -> Task:
    _write_reference(draft, input=inputs)
    entries = [writer.entry(draft.folder, f.path, f.role, f.format) for f in saved.files]
    entries.append(writer.entry(draft.folder, _reference_name(draft), "reference", "npz"))
    return Task(
        id=str(draft.ref),
        framework=saved.framework,
        folder=draft.folder,
        files=tuple(e for e in entries if e.role != "optional"),
        model=saved.model,
        inputs_file=_reference_name(draft),
        input_names=tuple(inputs),
        options=saved.options,
        copies=(
            *(
                {"name": c.name, "framework": c.framework, "model": c.model, "options": dict(c.options)}
                for c in saved.copies
            ),
            *more,
        ),
    )


def _metadata(
    draft: writer.Draft,
    saved: Saved,
    inputs: Arrays,
    outputs: Arrays,
    own: Arrays | None,
    first: Outcome,
    runs: Sequence[ProbeRun],
    records: list[Copy],
    second: list[Witness],
    environment: ImageRecord,
    profile: ProfileRecord,
    request: Request,
) -> Metadata:
    _write_reference(draft, input=inputs, output=outputs)
    files = [writer.entry(draft.folder, f.path, f.role, f.format) for f in saved.files]
    files.append(writer.entry(draft.folder, _reference_name(draft), "reference", "npz"))
    own_files = [w.file for w in second if w.file != _reference_name(draft)]
    files += [writer.entry(draft.folder, name, "witness", "npz") for name in own_files]
    hello = runs[0].hello
    machine = hello.get("machine")
    training: OutputsDiff | None = None
    if own is not None:
        training = compare_outputs(own, outputs, thresholds=Thresholds.of(request.thresholds))
    library = {"pytorch": "torch", "onnx": "onnxruntime"}.get(saved.framework, saved.framework)
    return Metadata(
        schema=1,
        created=utc_now(),
        grid_size=draft.ref.grid_size,
        version=draft.ref.version,
        framework=Framework(
            name=saved.framework,  # type: ignore[arg-type]  # the schema checks it
            version=first.versions.get(library, saved.framework_version),
            python=str(hello.get("python", "")),
        ),
        model=Model(
            file=saved.model,
            module=saved.class_module,
            qualname=saved.class_name,
            init_args=dict(saved.init_args),
            options=dict(saved.options),
            source=list(saved.source_files),
        ),
        files=files,
        inputs=reference.specs_of("input", inputs),
        outputs=reference.specs_of("output", outputs),
        copies=records,
        environment=EnvironmentRef(
            name=environment.folder, lock_sha256=environment.lock_sha256, image=environment.image
        ),
        profile=profile,
        training=training.to_json() if training is not None else None,
        machine=machine if isinstance(machine, dict) else {},
        seal={
            "runs": len(runs),
            "seeds": list(SEEDS),
            "seconds": [round(r.result.seconds, 3) for r in runs],
            "toolkit": VERSION,
        },
        tags={str(k): str(v) for k, v in request.tags.items()},
        notes=list(saved.notes),
        kept=sorted(set(saved.kept)),
        witnesses=second,
        thresholds=dict(request.thresholds),  # type: ignore[arg-type]  # Thresholds.of has checked the names
    )
