"""Interchange copies: which of a copy's outputs answers which of the model's own, and how far it is off.

Arrays in, a record out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from timeproof.compare.verdict import Verdict
from timeproof.errors import SealFailed
from timeproof.frameworks.base import Copy, Saved
from timeproof.runs.probe_stream import Outcome
from timeproof.sealing.sealed_answer import SealedAnswer
from timeproof.store.reference import Array
from timeproof.store.schema.records import Distance
from timeproof.store.schema.v1 import Copy as CopyRecord
from timeproof_probe import wire

_COLUMN = re.compile(r"(.+)_([^_]+)")


def pair(native: Mapping[str, Array], answer: Mapping[str, Array]) -> dict[str, tuple[str, Array]]:
    """Find, for each of the model's own outputs, the copy's: by name, else by shape, each taken once.

    A converter's column of one is taken for a vector, a vector for each class (onnxruntime's ZipMap) for a
    table, the second of two columns for a probability, and whole numbers (labels) for nothing. Where every
    output has its like by place, that decides.

    Returns:
        dict: native name → the copy's name and array, shaped as the native one; what has none is missing.
    """
    if len(native) == len(answer) and all(
        a.shape == b.shape and a.dtype.kind == b.dtype.kind
        for a, b in zip(native.values(), answer.values(), strict=True)
    ):
        return dict(zip(native, answer.items(), strict=True))
    pairs: dict[str, tuple[str, Array]] = {}
    for name, array in native.items():
        if name in answer and (shaped := _shaped(array, answer[name])) is not None:
            pairs[name] = (name, shaped)
    remaining = _join_columns({name: array for name, array in answer.items() if name not in pairs})
    for name, array in native.items():
        for other, values in remaining.items() if name not in pairs else ():
            if (shaped := _shaped(array, values)) is not None:
                pairs[name] = (other, shaped)
                del remaining[other]
                break
    return pairs


def _join_columns(answer: Mapping[str, Array]) -> dict[str, Array]:
    """Put the vectors `p_0`, `p_1`, … of a ZipMap side by side, as the table `p`; the rest stays."""
    columns: dict[str, list[str]] = {}
    for name, array in answer.items():
        match = _COLUMN.fullmatch(name)
        if match and array.ndim == 1 and array.dtype.kind == "f":
            columns.setdefault(match[1], []).append(name)
    tables = dict(answer)
    for table, names in columns.items():
        parts = [answer[name] for name in names]
        if len(parts) > 1 and len({part.shape for part in parts}) == 1:
            tables = {name: array for name, array in tables.items() if name not in names}
            tables[table] = np.stack(parts, axis=1)
    return tables


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


def measure_copy(sealed: SealedAnswer, copy: Copy, outcome: Outcome) -> Distance:
    """Compare a copy's answer with the native one, in the narrower of the two float types."""
    result = outcome.copies.get(copy.name, {})
    answer = outcome.outputs.get(copy.name, {})
    if result.get("status") != "ok":
        return Distance(verdict="refused", reason=str(result.get("reason", "")))
    native = sealed.outputs
    pairs = pair(native, answer)
    # A copy that was handed in gives what its converter gives; ours gives all, or says that it doesn't.
    if not pairs or (not (copy.given or copy.partial) and len(pairs) < len(native)):
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in answer.items())
        return Distance(verdict="broken", reason=f"its outputs ({shapes or 'none'}) are not the model's")
    expected = {
        name: native[name].astype(values.dtype) if _narrower(values, native[name]) else native[name]
        for name, (_, values) in pairs.items()
    }
    difference = sealed.compare_from(expected, {name: values for name, (_, values) in pairs.items()})
    compared = {name: other for name, (other, _) in pairs.items()}
    return Distance.model_validate({**difference.to_json(), "compared": compared})


def _narrower(values: Array, native: Array) -> bool:
    return values.dtype.kind == "f" and values.dtype.itemsize < native.dtype.itemsize


@dataclass(frozen=True, slots=True)
class SettledCopies:
    """Which copies stay, and how far each is from the model."""

    saved: Saved  # what stays of it
    records: list[CopyRecord]
    inexact: bool  # one of them is further than rounding, and was to be kept


def settle_copies(
    saved: Saved, sealed: SealedAnswer, outcome: Outcome, *, keep_inexact: bool
) -> SettledCopies:
    """Measure each copy, and say which stay.

    A copy of our own making that is further than rounding from the model is left out with a note: nobody
    asked for it. One that was handed in is refused, unless it is to be kept.

    Raises:
        SealFailed: naming the distance, and both ways out.
    """
    records = {copy.name: _record(copy, measure_copy(sealed, copy, outcome)) for copy in saved.copies}
    reasons: dict[str, str] = {}
    for copy in saved.copies:
        if copy.given or _near(records[copy.name]):
            continue
        if lack := _lacking(outcome.copies.get(copy.name, {}), copy.framework):
            reasons[copy.name] = f"{lack}, so its distance can't be measured"
        elif not keep_inexact:
            reasons[copy.name] = _why_left_out(records[copy.name])
    stay = without(saved, reasons)
    remaining = [records[copy.name] for copy in stay.copies]
    return SettledCopies(stay, remaining, inexact=_has_far(remaining, keep_inexact=keep_inexact))


def _record(copy: Copy, distance: Distance) -> CopyRecord:
    """What the metadata says of a copy."""
    return CopyRecord(
        name=copy.name,
        framework=copy.framework,
        file=copy.model,
        options=dict(copy.options),
        facts=dict(copy.facts),
        distance=distance,
    )


def _why_left_out(record: CopyRecord) -> str:
    keep = "--keep-inexact (keep_inexact=True) keeps it, marked"
    distance = record.distance
    if distance.verdict == "refused":
        return f"the container can't run it: {distance.sentence}; {keep}"
    return f"it is further than rounding from the model: {distance.verdict}: {distance.sentence}; {keep}"


def without(saved: Saved, reasons: Mapping[str, str]) -> Saved:
    """Leave out copies of our own making; `reasons` says why, by the copy's name."""
    gone = [c for c in saved.copies if c.name in reasons]
    if not gone:
        return saved
    # The model's own files stand first, and may have others that they need; a copy's follow it.
    first = next((k for k, file in enumerate(saved.files) if file.role == "interchange"), len(saved.files))
    files = {f.path for f in saved.files[first:] if f.role in {"interchange", "external"}}
    return replace(
        saved,
        files=tuple(f for f in saved.files if f.path not in files),
        copies=tuple(c for c in saved.copies if c not in gone),
        notes=(*saved.notes, *(f"there is no {c.name} copy: {reasons[c.name]}" for c in gone)),
    )


def _lacking(status: Mapping[str, Any], framework: str) -> str:
    """Say what the environment lacks to run a copy; empty where it lacks nothing."""
    reason = str(status.get("reason"))
    if status.get("status") != "refused":
        return ""
    if f"{wire.NO_LOADER} {framework!r}" in reason and framework != "onnx":
        return f"the environment's image was made before it could run {framework}"
    absent = "No module named 'onnxruntime'" in reason or f"{wire.NO_LOADER} 'onnx'" in reason
    return "the environment holds no onnxruntime" if absent else ""


def _has_far(records: Sequence[CopyRecord], *, keep_inexact: bool) -> bool:
    """Say whether a copy is further than rounding from the model.

    Raises SealFailed where one is, and none is to be kept.
    """
    far = [r for r in records if not _near(r)]
    if not far or keep_inexact:
        return bool(far)
    listed = "; ".join(f"{r.name}: {r.distance.verdict}: {r.distance.sentence}" for r in far)
    raise SealFailed(
        f"the model replays, but its copy in another format is further than rounding from it: {listed}",
        advice=f"archive the model without the copy (leave out --copy {far[0].name}=…), or keep the copy,"
        " marked, with --keep-inexact (keep_inexact=True). Nothing was published",
    )


def _near(record: CopyRecord) -> bool:
    try:
        return Verdict(record.distance.verdict).allowed_by(Verdict.rounding)
    except ValueError:
        return False
