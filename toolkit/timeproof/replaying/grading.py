"""Judging one artifact's answer against its reference and its witnesses. Reads the archive, runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from timeproof.base.paths import open_regular
from timeproof.compare.verdict import Thresholds, Verdict
from timeproof.errors import BadArchive, BadRequest, Malformed
from timeproof.replaying import provenance
from timeproof.replaying.provenance import Fingerprint
from timeproof.replaying.result import Replayed, Witnessed
from timeproof.replaying.scores import scores_of
from timeproof.runs.probe_stream import Outcome
from timeproof.runs.task import Task
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import ArraySpec, FileEntry, Metadata, Witness

if TYPE_CHECKING:
    from timeproof.store.reference import Array

# A container gets neither what nobody reads, nor other formats of the model, nor what answers are judged by.
_NOT_ASKED = frozenset({"optional", "interchange", "witness"})


def task_of(archive: Archive, ref: Ref, metadata: Metadata, *, witness: str | None = None) -> Task:
    """What the probe is told of one published artifact; `witness`: how else than natively it is asked."""
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
    """The scale's figures for this artifact. Raises Malformed where its own make no scale."""
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
    one = Replayed(ref, Verdict.lost, outcome.reason, seconds=outcome.seconds, log=outcome.log)
    if outcome.failure is not None:
        one.verdict, one.error = outcome.failure, outcome.error
        if outcome.signal:
            one.reason = f"signal {outcome.signal}: {one.reason}"
        return one
    try:
        expected = expected_outputs(archive, ref, metadata)
        thresholds = thresholds_of(metadata, archive.root / ref.metadata)
    except BadArchive as error:
        one.verdict, one.reason, one.error = Verdict.altered, error.message, error
        return one
    from timeproof.compare.compare import compare_outputs
    from timeproof.compare.float_bits import FORMATS  # with NumPy, as above

    narrow = {s.name: s.element for s in metadata.outputs if s.element in FORMATS}
    scores = scores_of(metadata.outputs)
    one.diff = compare_outputs(
        expected, outcome.native, thresholds=thresholds, computed_in=narrow, scores=scores
    )
    one.verdict, one.reason = one.diff.verdict, one.diff.summary()
    one.outputs = len(expected)
    one.bytes = sum(a.nbytes for a in expected.values())
    margins = next((w for w in metadata.witnesses if w.kind == "margin"), None)
    if not one.ok and margins is not None:
        one.witness = _margins(margins, expected, outcome.native, thresholds)
    return one


def _margins(
    witness: Witness, expected: Mapping[str, Array], given: Mapping[str, Array], thresholds: Thresholds
) -> Witnessed:
    from timeproof.compare.compare import compare_outputs

    names = [spec.name for spec in witness.outputs]
    diff = compare_outputs(
        {n: expected[n] for n in names},
        {n: given[n] for n in names if n in given},
        thresholds=thresholds,
        scores=scores_of(witness.outputs),
    )
    return Witnessed("margin", diff.verdict, diff.summary())


def to_be_asked(metadata: Metadata, one: Replayed, kind: str) -> bool:
    """Whether a witness of that kind could still say something about this answer.

    Only of outputs that were graded: why a model crashes, no other answer of it can tell.
    """
    settled = one.ok or not one.verdict.graded or (one.witness is not None and one.witness.holds)
    return not settled and any(w.kind == kind for w in metadata.witnesses)


def judge_witness(
    archive: Archive, ref: Ref, metadata: Metadata, one: Replayed, kind: str, outcome: Outcome
) -> None:
    """Put down what a witness of that kind answered, unless another has said more already.

    The native verdict stays what it is.
    """
    witness = next(w for w in metadata.witnesses if w.kind == kind)
    if outcome.failure is not None:
        found = Witnessed(kind, outcome.failure, outcome.reason, outcome.seconds)
    else:
        try:
            expected = _read(archive, ref, witness.file, witness.outputs)
            thresholds = thresholds_of(metadata, archive.root / ref.metadata)
        except BadArchive as error:
            found = Witnessed(kind, Verdict.altered, error.message)
        else:
            from timeproof.compare.compare import compare_outputs

            scores = scores_of(witness.outputs)
            diff = compare_outputs(expected, outcome.native, thresholds=thresholds, scores=scores)
            found = Witnessed(kind, diff.verdict, diff.summary(), outcome.seconds)
    if one.witness is None or found.verdict < one.witness.verdict:
        one.witness = found


def explain(one: Replayed, then: Fingerprint, now: Fingerprint) -> None:
    """Put down both sides, what is not as it was, and the likeliest cause where the answer differs."""
    one.recorded, one.here = then, now
    one.differences = provenance.differences(then, now)
    one.elsewhere = provenance.elsewhere(one.differences)
    one.notes += [str(d) for d in one.differences if not one.ok or d.what == "profile"]
    if one.ok:
        return
    one.cause = provenance.cause(one.differences)
    if one.verdict.graded:
        # The bytes were hashed before, and the image found by its digests.
        one.notes.append(f"as recorded: {', '.join(['the bytes', *provenance.same(then, now)])}")
