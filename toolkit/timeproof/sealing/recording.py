"""What is written down of an artifact that was sealed: its reference, and its metadata."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from timeproof.base.clock import utc_now
from timeproof.compare.difference import OutputsDiff
from timeproof.frameworks.base import Saved
from timeproof.frameworks.registry import module_of, require_spec
from timeproof.sealing.double_run import SEEDS, Replays
from timeproof.sealing.sealed_answer import SealedAnswer, distance_of
from timeproof.store import publish, reference
from timeproof.store.reference import Array
from timeproof.store.schema.records import Machine, SealFacts
from timeproof.store.schema.v1 import (
    Copy,
    EmulatorRecord,
    EnvironmentRecord,
    EnvironmentRef,
    Framework,
    Metadata,
    Model,
    ProfileRecord,
    Proof,
    Witness,
)
from timeproof.version import VERSION


@dataclass(frozen=True, slots=True)
class SealRecord:
    """All that sealing gave, and metadata says."""

    saved: Saved
    inputs: Mapping[str, Array]
    sealed: SealedAnswer
    replays: Replays
    difference: OutputsDiff | None  # to the user's own answer
    copies: list[Copy]
    witnesses: list[Witness]
    environment: EnvironmentRecord
    profile: ProfileRecord
    proofs: list[Proof] = field(default_factory=list)
    emulators: list[EmulatorRecord] = field(default_factory=list)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def reference_name(draft: publish.Draft) -> str:
    return f"reference_{draft.ref.tag}.npz"


def write_reference(draft: publish.Draft, **groups: Mapping[str, Array]) -> None:
    """Write `reference_<tag>.npz` into the draft, over the one that is there."""
    stream = io.BytesIO()
    reference.write(stream, **groups)
    (draft.folder / reference_name(draft)).write_bytes(stream.getbuffer())


def metadata_of(draft: publish.Draft, record: SealRecord) -> Metadata:
    """Write the whole reference into the draft, and describe the artifact."""
    saved = record.saved
    write_reference(draft, input=record.inputs, output=record.sealed.outputs)
    files = [publish.entry(draft.folder, f.path, f.role, f.format) for f in saved.files]
    files.append(publish.entry(draft.folder, reference_name(draft), "reference", "npz"))
    more = [w.file for w in record.witnesses if w.file != reference_name(draft)]
    files += [publish.entry(draft.folder, name, "witness", "npz") for name in more]
    replays, sealed = record.replays, record.sealed
    version = replays.outcome.versions.get(module_of(saved.framework), saved.framework_version)
    return Metadata(
        schema=1,
        created=utc_now(),
        grid_size=draft.ref.grid_size,
        version=draft.ref.version,
        framework=Framework(
            name=saved.framework,
            version=version,
            python=replays.python,
            **require_spec(saved.framework).described(),
        ),
        model=Model(
            file=saved.model,
            module=saved.class_module,
            qualname=saved.class_name,
            init_args=dict(saved.init_args),
            options=dict(saved.options),
            source=list(saved.source_files),
            signature=dict(saved.signature),
        ),
        files=files,
        inputs=reference.specs_of("input", record.inputs, _elements(saved)),
        outputs=reference.specs_of("output", sealed.outputs, None, sealed.scores),
        copies=record.copies,
        environment=EnvironmentRef(
            name=record.environment.folder,
            lock_sha256=record.environment.lock_sha256,
            image=record.environment.image,
        ),
        profile=record.profile,
        training=distance_of(record.difference) if record.difference is not None else None,
        machine=Machine.read(replays.runs[0].hello.get("machine")),
        seal=SealFacts(
            runs=len(replays.runs),
            seeds=list(SEEDS),
            seconds=[round(run.result.seconds, 3) for run in replays.runs],
            toolkit=VERSION,
        ),
        tags={str(k): str(v) for k, v in record.tags.items()},
        notes=list(saved.notes),
        kept=sorted(set(saved.kept)),
        witnesses=record.witnesses,
        proofs=record.proofs,
        emulators=record.emulators,
        thresholds=dict(record.thresholds),  # type: ignore[arg-type]  # Thresholds.of has checked the names
    )


def _elements(saved: Saved) -> dict[str, str]:
    """The type that the model takes an input in, where NumPy has none for it."""
    call: Any = saved.options.get("call") or ()
    return {str(argument["input"]): str(argument["dtype"]) for argument in call if argument.get("dtype")}
