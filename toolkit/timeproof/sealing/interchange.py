"""Interchange copies: which of a copy's outputs answers which of the model's own, and how far it is off.

Arrays in, a record out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import THRESHOLDS, Thresholds, Verdict
from timeproof.errors import SealFailed
from timeproof.frameworks.base import INEXACT, Copy, Saved
from timeproof.runs.probe_stream import Outcome
from timeproof.store.reference import Array
from timeproof.store.schema.v1 import Copy as CopyRecord
from timeproof_probe import wire

_COLUMN = re.compile(r"(.+)_([^_]+)")


def pair(native: Mapping[str, Array], theirs: Mapping[str, Array]) -> dict[str, tuple[str, Array]]:
    """Find, for each of the model's own outputs, the copy's: by name, else by shape, each taken once.

    A converter's column of one is taken for a vector, a vector for each class (onnxruntime's ZipMap) for a
    table, the second of two columns for a probability, and whole numbers (labels) for nothing. Where every
    output has its like by place, that decides.

    Returns:
        dict: native name → the copy's name and array, shaped as the native one; what has none is missing.
    """
    if len(native) == len(theirs) and all(
        a.shape == b.shape and a.dtype.kind == b.dtype.kind
        for a, b in zip(native.values(), theirs.values(), strict=True)
    ):
        return dict(zip(native, theirs.items(), strict=True))
    found: dict[str, tuple[str, Array]] = {}
    for name, array in native.items():
        if name in theirs and (shaped := _shaped(array, theirs[name])) is not None:
            found[name] = (name, shaped)
    waiting = _tables({name: array for name, array in theirs.items() if name not in found})
    for name, array in native.items():
        for other, values in waiting.items() if name not in found else ():
            if (shaped := _shaped(array, values)) is not None:
                found[name] = (other, shaped)
                del waiting[other]
                break
    return found


def _tables(theirs: Mapping[str, Array]) -> dict[str, Array]:
    """Put the vectors `p_0`, `p_1`, … of a ZipMap side by side, as the table `p`; the rest stays."""
    columns: dict[str, list[str]] = {}
    for name, array in theirs.items():
        told = _COLUMN.fullmatch(name)
        if told and array.ndim == 1 and array.dtype.kind == "f":
            columns.setdefault(told[1], []).append(name)
    made = dict(theirs)
    for table, names in columns.items():
        parts = [theirs[name] for name in names]
        if len(parts) > 1 and len({part.shape for part in parts}) == 1:
            made = {name: array for name, array in made.items() if name not in names}
            made[table] = np.stack(parts, axis=1)
    return made


def _shaped(native: Array, values: Array) -> Array | None:
    if values.dtype.kind != native.dtype.kind:
        return None
    if values.shape == native.shape:
        return values
    if values.shape == (*native.shape, 1) or (values.ndim == 2 and (*values.shape, 1) == native.shape):
        return values.reshape(native.shape)
    if values.shape == (*native.shape, 2) and native.ndim == 1:
        return np.ascontiguousarray(values[:, 1])
    return None


def distance(
    native: Mapping[str, Array],
    copy: Copy,
    outcome: Outcome,
    thresholds: Thresholds = THRESHOLDS,
    scores: Mapping[str, bool] | None = None,
) -> dict[str, Any]:
    """Compare a copy's answer with the native one, in the narrower of the two float types.

    Args:
        scores: which of the native outputs hold class scores, as `compare_outputs` takes it.
    """
    told = outcome.copies.get(copy.name, {})
    theirs = outcome.outputs.get(copy.name, {})
    if told.get("status") != "ok":
        return {"verdict": "refused", "reason": str(told.get("reason", ""))}
    pairs = pair(native, theirs)
    # A copy that was handed in gives what its converter gives; ours gives everything.
    if not pairs or (not copy.given and len(pairs) < len(native)):
        shapes = ", ".join(f"{name} {list(a.shape)}" for name, a in theirs.items())
        return {"verdict": "broken", "reason": f"its outputs ({shapes or 'none'}) are not the model's"}
    expected = {
        name: native[name].astype(values.dtype) if _narrower(values, native[name]) else native[name]
        for name, (_, values) in pairs.items()
    }
    given = {name: values for name, (_, values) in pairs.items()}
    diff = compare_outputs(expected, given, thresholds=thresholds, scores=scores)
    return {**diff.to_json(), "compared": {name: other for name, (other, _) in pairs.items()}}


def _narrower(values: Array, native: Array) -> bool:
    return values.dtype.kind == "f" and values.dtype.itemsize < native.dtype.itemsize


def record(
    native: Mapping[str, Array],
    copy: Copy,
    outcome: Outcome,
    thresholds: Thresholds = THRESHOLDS,
    scores: Mapping[str, bool] | None = None,
) -> CopyRecord:
    """What the metadata says of a copy."""
    return CopyRecord(
        name=copy.name,
        framework=copy.framework,
        file=copy.model,
        options=dict(copy.options),
        facts=dict(copy.facts),
        distance=distance(native, copy, outcome, thresholds, scores),
    )


def settle(
    saved: Saved,
    outputs: Mapping[str, Array],
    outcome: Outcome,
    thresholds: Thresholds = THRESHOLDS,
    scores: Mapping[str, bool] | None = None,
    *,
    keep_inexact: bool,
) -> tuple[Saved, list[CopyRecord], tuple[str, ...]]:
    """Measure each copy, and say which stay.

    A copy of our own making that is further than rounding from the model is left out with a note: nobody
    asked for it. One that was handed in is refused, unless it is to be kept.

    Returns:
        tuple: what stays of `saved`; a record for each copy that stays; `inexact`, where one is kept.

    Raises:
        SealFailed: naming the distance, and both ways out.
    """
    records = {c.name: record(outputs, c, outcome, thresholds, scores) for c in saved.copies}
    reasons: dict[str, str] = {}
    for copy in saved.copies:
        if copy.given or _near(records[copy.name]):
            continue
        if _lacks_runtime(outcome.copies.get(copy.name, {})):
            reasons[copy.name] = "the environment holds no onnxruntime, so its distance can't be measured"
        elif not keep_inexact:
            reasons[copy.name] = _why_left_out(records[copy.name])
    stay = without(saved, reasons)
    kept = [records[c.name] for c in stay.copies]
    return stay, kept, _require_near(kept, keep_inexact=keep_inexact)


def _why_left_out(record: CopyRecord) -> str:
    keep = "--keep-inexact (keep_inexact=True) keeps it, marked"
    if record.distance.get("verdict") == "refused":
        return f"the container can't run it: {_summary(record)}; {keep}"
    distance = f"{record.distance['verdict']}: {_summary(record)}"
    return f"it is further than rounding from the model: {distance}; {keep}"


def without(saved: Saved, reasons: Mapping[str, str]) -> Saved:
    """Leave out copies of our own making; `reasons` says why, by the copy's name."""
    gone = [c for c in saved.copies if c.name in reasons]
    if not gone:
        return saved
    files = {f.path for f in saved.files if f.role in {"interchange", "external"}}
    return replace(
        saved,
        files=tuple(f for f in saved.files if f.path not in files),
        copies=tuple(c for c in saved.copies if c not in gone),
        notes=(*saved.notes, *(f"there is no {c.name} copy: {reasons[c.name]}" for c in gone)),
    )


def _lacks_runtime(status: Mapping[str, Any]) -> bool:
    reason = str(status.get("reason"))
    absent = "No module named 'onnxruntime'" in reason or f"{wire.NO_LOADER} 'onnx'" in reason
    return status.get("status") == "refused" and absent


def _require_near(records: Sequence[CopyRecord], *, keep_inexact: bool) -> tuple[str, ...]:
    """Refuse copies that are further than rounding from the native answer, unless they are to be kept."""
    far = [r for r in records if not _near(r)]
    if not far or keep_inexact:
        return (INEXACT,) if far else ()
    listed = "; ".join(f"{r.name}: {r.distance['verdict']}: {_summary(r)}" for r in far)
    raise SealFailed(
        f"the model replays, but its copy in another format is further than rounding from it: {listed}",
        advice=f"archive the model without the copy (leave out --copy {far[0].name}=…), or keep the copy,"
        " marked, with --keep-inexact (keep_inexact=True). Nothing was published",
    )


def _near(record: CopyRecord) -> bool:
    try:
        return Verdict(str(record.distance.get("verdict"))).allowed_by(Verdict.rounding)
    except ValueError:
        return False


def _summary(record: CopyRecord) -> str:
    return str(record.distance.get("summary") or record.distance.get("reason") or "")
