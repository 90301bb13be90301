"""A PMML file, looked at on the host: its fields, its outputs, its verification. Nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable, NotFound
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.pmml.probe import elements
from timeproof.frameworks.pmml.probe.elements import BadPmml, Element

KINDS = ("MiningModel", "TreeModel", "RegressionModel")
_NUMBERS = {"integer", "float", "double", "boolean"}
_FEATURES = {"predictedValue", "probability", "transformedValue", "decision", "predictedDisplayValue", ""}
_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!--|(?:\w+:)?PMML\b)")
_ROOT = re.compile(rb"<(?:[\w.-]+:)?PMML[\s>]")


def sniff(file: ModelFile) -> bool:
    """Say whether the bytes begin as a PMML document does."""
    head = file.head
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head.decode("utf-16", errors="replace").encode()
    return bool(_START.match(head) and _ROOT.search(head))


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Turn what is wrong with a document into NotArchivable."""
    try:
        yield
    except BadPmml as error:
        raise NotArchivable(
            f"{path}: {error}", advice="give a PMML document of version 3 or 4, as its writer made it"
        ) from None


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says of its model.

    Args:
        fields: the model's inputs, in order: name → type.
        optional: those that an input may lack.
        outputs: what it gives, in the evaluator's order.
        left_out: outputs of a kind that is not evaluated.
        probabilities: of the outputs, those that are probabilities of one class each, in order.
        classes: the classes that those are of.
        target: the name of what is predicted, empty where it has none; `target_type`: its type.
    """

    version: str
    kind: str
    fields: dict[str, str]
    optional: frozenset[str]
    outputs: tuple[str, ...]
    left_out: tuple[str, ...]
    probabilities: tuple[str, ...]
    classes: tuple[str, ...]
    target: str = ""
    target_type: str = ""


def read(path: Path) -> Document:
    """Read a file. Raises NotFound and NotArchivable."""
    return describe(parse(path), path)


def parse(path: Path, *, with_verification: bool = False) -> Element:
    """Parse a file, within bounds. Raises NotFound and NotArchivable."""
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    skipped = elements.SKIPPED - {"ModelVerification"} if with_verification else elements.SKIPPED
    with naming(path), path.open("rb") as stream:
        return elements.parse(stream, skipped)


def describe(root: Element, path: Path) -> Document:
    """Say what a document holds. Raises NotArchivable where nothing of it can be evaluated."""
    with naming(path):
        model = _model(root, path)
        dictionary = {field.need("name"): field for field in root.below("DataDictionary", "DataField")}
        active, optional, target = _schema(model)
        fields = {name: dictionary[name].need("dataType") for name in active if name in dictionary}
        if strange := [name for name in active if name not in dictionary]:
            raise BadPmml(f"its DataDictionary has no field {strange[0]!r}")
        if strange := [f"{n}: {kind}" for n, kind in fields.items() if kind not in _NUMBERS | {"string"}]:
            raise NotArchivable(
                f"{path} has fields of types that are not evaluated: {', '.join(strange[:10])}",
                advice="only numbers, booleans and strings are",
            )
        declared = list(_outputs(model))
        probable = [f for f in declared if f.get("feature") == "probability" and "value" in f.attributes]
        classes = [value.need("value") for value in _values(dictionary.get(target))]
        return Document(
            version=root.get("version"),
            kind=model.tag,
            fields=fields,
            optional=frozenset(optional),
            outputs=tuple(f.need("name") for f in declared if _evaluated(f)),
            left_out=tuple(f.need("name") for f in declared if not _evaluated(f)),
            probabilities=tuple(f.need("name") for f in probable),
            classes=tuple(f.need("value") for f in probable) or tuple(classes),
            target=target,
            target_type=dictionary[target].get("dataType") if target in dictionary else "",
        )


def _model(root: Element, path: Path) -> Element:
    for child in root.children:
        if child.tag in KINDS and child.get("isScorable", "true") != "false":
            return child
    kinds = sorted({c.tag for c in root.children if c.tag.endswith(("Model", "Network", "Scorecard"))})
    raise NotArchivable(
        f"{path} holds {', '.join(kinds) or 'no model'}; evaluated are {', '.join(KINDS)}",
        advice="archive the model that it was written from",
    )


def _schema(model: Element) -> tuple[list[str], list[str], str]:
    active: list[str] = []
    optional: list[str] = []
    target = ""
    for field in model.below("MiningSchema", "MiningField"):
        usage = field.get("usageType")
        if usage in {"active", "supplementary", ""}:
            active.append(field.need("name"))
            if usage == "supplementary" or "missingValueReplacement" in field.attributes:
                optional.append(field.need("name"))
        elif usage in {"target", "predicted"}:
            target = target or field.need("name")
    return active, optional, target


def _outputs(model: Element) -> Iterator[Element]:
    """Give the OutputFields of a model, those of its segments first, as they are evaluated."""
    for segment in model.below("Segmentation", "Segment"):
        for child in segment.children:
            if child.tag in KINDS:
                yield from _outputs(child)
    yield from model.below("Output", "OutputField")


def _values(field: Element | None) -> list[Element]:
    return [] if field is None else list(field.all("Value"))


def _evaluated(field: Element) -> bool:
    return field.get("feature") in _FEATURES and not field.get("segmentId")


def signature_of(document: Document) -> dict[str, Json]:
    """What metadata says of the fields and the classes."""
    signature: dict[str, Json] = {
        "features": [{"name": name, "type": kind} for name, kind in document.fields.items()]
    }
    if document.classes:
        signature["classes"] = list(document.classes)
    return signature
