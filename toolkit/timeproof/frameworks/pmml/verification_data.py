"""The rows of a file's own ModelVerification: somebody's inputs with their answers. Nothing is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from timeproof.frameworks.base import Array
from timeproof.frameworks.imports import Arrays, BadData, KnownAnswers
from timeproof.frameworks.pmml.documents import KINDS, Document
from timeproof.frameworks.pmml.probe.elements import BadPmml, Element

ROWS = 1_000_000  # at most


def read_verification(root: Element, document: Document) -> KnownAnswers:
    """Read the verification of a document's model. Raises BadData where there is none that can be read.

    Fields that are the model's inputs become arrays by their names, NaN or "" where a row leaves one out. All
    others are answers.
    """
    try:
        return _read(root, document)
    except BadPmml as error:
        raise BadData(str(error)) from None


def _read(root: Element, document: Document) -> KnownAnswers:
    model = next(child for child in root.children if child.tag in KINDS)
    verification = model.first("ModelVerification")
    if verification is None:
        raise BadData("it holds no ModelVerification: give inputs and answers (--inputs, --expected)")
    fields = verification.below("VerificationFields", "VerificationField")
    rows = verification.below("InlineTable", "row")
    if not fields or not rows or len(rows) > ROWS:
        raise BadData(f"its ModelVerification has {len(rows)} rows of {len(fields)} fields")
    cells = [{cell.tag: cell.text for cell in row.children} for row in rows]
    inputs, outputs = Arrays(), Arrays()
    left_out: list[str] = []
    types = {document.target: document.target_type, **_output_types(model)}
    for field in fields:
        name = field.need("field")
        column = field.get("column") or name
        texts = [row.get(column.rpartition(":")[2], "") for row in cells]
        if name in document.fields:
            inputs.add(name, _values(name, texts, document.fields[name]))
        elif name in document.left_out:
            left_out.append(name)
        elif any(texts):
            outputs.add(name, _values(name, texts, types.get(name) or _kind_of(texts)))
    if not outputs.arrays:
        raise BadData("its ModelVerification holds no answer")
    missing = [n for n in document.fields if n not in inputs.arrays and n not in document.optional]
    if missing:
        raise BadData(f"its ModelVerification has no field {missing[0]!r}, which the model takes")
    precision = sorted({field.get("precision") for field in fields} - {""})
    note = f"the answers are the file's own ModelVerification, {len(rows)} rows"
    stated = f"; it states a precision of {', '.join(precision)}" if precision else ""
    notes = (note + stated, *(f"the answer {name} is of a kind that is not evaluated" for name in left_out))
    return KnownAnswers(inputs, outputs, {"outputs": list(outputs.arrays)}, (), notes)


def _output_types(model: Element) -> dict[str, str]:
    """Give the types of a model's outputs, of those that it names: with those of its segments."""
    types: dict[str, str] = {}
    for segment in model.below("Segmentation", "Segment"):
        for child in segment.children:
            types |= _output_types(child)
    for field in model.below("Output", "OutputField"):
        kind = field.get("dataType")
        if not kind:
            kind = "double" if field.get("feature") == "probability" else ""
        types[field.need("name")] = kind
    return types


def _kind_of(texts: Sequence[str]) -> str:
    try:
        [float(text) for text in texts if text]
    except ValueError:
        return "string"
    return "double"


def _values(name: str, texts: Sequence[str], kind: str) -> Array:
    """Give a field's values as the evaluator takes and gives them. Raises BadData."""
    if kind == "string":
        return np.array(list(texts), dtype="U")
    numbers = np.array([_number(name, text, kind) for text in texts])
    whole: Any = np.isfinite(numbers).all() and (np.floor(numbers) == numbers).all()
    if kind == "boolean" and whole:
        return numbers.astype(bool)
    if kind == "integer" and whole and (np.abs(numbers) < 2**53).all():
        return numbers.astype(np.int64)
    return numbers.astype(np.float32) if kind == "float" else numbers


def _number(name: str, text: str, kind: str) -> float:
    if not text:
        return float("nan")
    if kind == "boolean" and text.lower() in {"true", "false"}:
        return float(text.lower() == "true")
    try:
        return float(text)
    except ValueError:
        raise BadData(f"ModelVerification: {text[:40]!r} is no value of the field {name!r}") from None
