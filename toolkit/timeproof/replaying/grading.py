"""Judging one artifact's answer against its reference and its witnesses. Reads the archive, runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from timeproof.base.paths import open_regular
from timeproof.compare.verdict import Thresholds, Verdict
from timeproof.errors import BadArchive, BadRequest, Malformed
from timeproof.replaying import provenance
from timeproof.replaying.provenance import Fingerprint
from timeproof.replaying.result import Replayed, WitnessAnswer
from timeproof.replaying.scores import scores_of
from timeproof.runs.probe_stream import Outcome
from timeproof.runs.task import Task
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import ArraySpec, FileEntry, Metadata, Witness

if TYPE_CHECKING:
    from timeproof.store.reference import Array

# Files that a container does not get: those that no loader reads, other formats of the model, and witnesses.
_NOT_ASKED = frozenset({"optional", "interchange", "witness"})


def task_of(archive: Archive, ref: Ref, metadata: Metadata, *, witness: str | None = None) -> Task:
    """Give the probe's task for one published artifact.

    Args:
        witness: the kind of witness to ask; None asks for the native answer.
    """
    files: list[FileEntry] = []
    beside: list[FileEntry] = []
    for file in metadata.files:
        (beside if file.role in _NOT_ASKED and file.path != metadata.model.file else files).append(file)
    return Task(
        id=str(ref),
        framework=metadata.framework.name,
        folder=archive.root / ref.folder,
        files=tuple(files),
        model=metadata.model.file,
        inputs_file=metadata.file("reference").path,
        input_names=tuple(i.name for i in metadata.inputs),
        options=metadata.model.options,
        witness=witness,
        root=archive.root,
        inputs=tuple(metadata.inputs),
        beside=tuple(beside),
    )


def thresholds_of(metadata: Metadata, path: object) -> Thresholds:
    """The scale's figures for this artifact. Raises Malformed: its own figures make no scale."""
    try:
        return Thresholds.of({str(name): value for name, value in metadata.thresholds.items()})
    except BadRequest as error:
        raise Malformed(path, [f"thresholds: {error.message}"]) from error


def _read(archive: Archive, ref: Ref, file: str, specs: Sequence[ArraySpec]) -> dict[str, Array]:
    from timeproof.store.reference import read  # with NumPy: not before the container runs

    path = f"{ref.folder}/{file}"
    with open_regular(archive.root, path) as stream:
        return read(stream, specs, archive.root / path)


def expected_outputs(archive: Archive, ref: Ref, metadata: Metadata) -> dict[str, Array]:
    """Read the recorded outputs. Raises BadArchive."""
    return _read(archive, ref, metadata.file("reference").path, metadata.outputs)


def judge_outcome(archive: Archive, ref: Ref, metadata: Metadata, outcome: Outcome) -> Replayed:
    """Grade one artifact's answer against its reference; where it differs, its raw margins, too."""
    result = Replayed(ref, Verdict.lost, outcome.reason, seconds=outcome.seconds, log=outcome.log)
    if outcome.failure is not None:
        result.verdict, result.error = outcome.failure, outcome.error
        if outcome.signal:
            result.reason = f"signal {outcome.signal}: {result.reason}"
        return result
    try:
        expected = expected_outputs(archive, ref, metadata)
        thresholds = thresholds_of(metadata, archive.root / ref.metadata)
    except BadArchive as error:
        result.verdict, result.reason, result.error = Verdict.altered, error.message, error
        return result
    from timeproof.compare.compare import compare_outputs
    from timeproof.compare.float_bits import FORMATS  # with NumPy, as above

    narrow = {s.name: s.element for s in metadata.outputs if s.element in FORMATS}
    scores = scores_of(metadata.outputs)
    result.diff = compare_outputs(
        expected, outcome.native, thresholds=thresholds, computed_in=narrow, scores=scores
    )
    result.verdict, result.reason = result.diff.verdict, result.diff.summary()
    result.outputs = len(expected)
    result.bytes = sum(a.nbytes for a in expected.values())
    margins = next((w for w in metadata.witnesses if w.kind == "margin"), None)
    if not result.ok and margins is not None:
        result.witness = _compare_margins(margins, expected, outcome.native, thresholds)
    return result


def _compare_margins(
    witness: Witness, expected: Mapping[str, Array], outputs: Mapping[str, Array], thresholds: Thresholds
) -> WitnessAnswer:
    from timeproof.compare.compare import compare_outputs

    names = [spec.name for spec in witness.outputs]
    diff = compare_outputs(
        {n: expected[n] for n in names},
        {n: outputs[n] for n in names if n in outputs},
        thresholds=thresholds,
        scores=scores_of(witness.outputs),
    )
    return WitnessAnswer("margin", diff.verdict, diff.summary())


def witness_is_open(metadata: Metadata, result: Replayed, kind: str) -> bool:
    """Whether asking a witness of that kind could still tell more about this answer.

    It can only where outputs were graded: no witness tells why a model crashes.
    """
    holds = result.witness is not None and result.witness.holds
    settled = result.ok or not result.verdict.graded or holds
    return not settled and any(w.kind == kind for w in metadata.witnesses)


def judge_witness(
    archive: Archive, ref: Ref, metadata: Metadata, result: Replayed, kind: str, outcome: Outcome
) -> None:
    """Record the answer of a witness of that kind, unless another witness has a better one.

    The native verdict stays what it is.
    """
    witness = next(w for w in metadata.witnesses if w.kind == kind)
    if outcome.failure is not None:
        answer = WitnessAnswer(kind, outcome.failure, outcome.reason, outcome.seconds)
    else:
        try:
            expected = _read(archive, ref, witness.file, witness.outputs)
            thresholds = thresholds_of(metadata, archive.root / ref.metadata)
        except BadArchive as error:
            answer = WitnessAnswer(kind, Verdict.altered, error.message)
        else:
            from timeproof.compare.compare import compare_outputs

            scores = scores_of(witness.outputs)
            diff = compare_outputs(expected, outcome.native, thresholds=thresholds, scores=scores)
            answer = WitnessAnswer(kind, diff.verdict, diff.summary(), outcome.seconds)
    if result.witness is None or answer.verdict < result.witness.verdict:
        result.witness = answer


def note_provenance(result: Replayed, then: Fingerprint, now: Fingerprint) -> None:
    """Record both sides, what differs between them, and the likeliest cause where the answer differs."""
    result.recorded, result.present = then, now
    result.differences = provenance.differences(then, now)
    result.elsewhere = provenance.is_other_cpu(result.differences)
    result.notes += [str(d) for d in result.differences if not result.ok or d.what == "profile"]
    if result.ok:
        return
    result.cause = provenance.cause(result.differences)
    if result.verdict.graded:
        # The bytes were hashed before, and the image was identified by its digests.
        result.notes.append(f"as recorded: {', '.join(['the bytes', *provenance.same(then, now)])}")
