"""A PFA file, looked at on the host: the fields that it takes and gives. Nothing is evaluated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from timeproof.errors import NotArchivable, NotFound
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.pfa.probe import documents
from timeproof_probe.file_checks import Refused

_INPUT = re.compile(rb'"input"\s*:\s*[\["{]')
_OTHER = re.compile(rb'"(?:output|action|cells|method|fcns)"\s*:')
_TAIL = 1 << 20  # bytes


def sniff(file: ModelFile) -> bool:
    """Say whether it is JSON whose keys are a scoring engine's. Other keys may come first, in any order."""
    if not file.text.startswith(b"{") or b'"learner"' in file.head:
        return False
    if file.path.suffix.lower() == ".pfa":
        return True
    return bool(_INPUT.search(file.head) and _OTHER.search(file.head))


@dataclass(frozen=True, slots=True)
class Document:
    """What a document takes, name → type, in order; and the names of what it gives."""

    fields: dict[str, str]
    outputs: tuple[str, ...]


def read(path: Path) -> Document:
    """Read a file. Raises NotFound and NotArchivable."""
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    try:
        with path.open("rb") as stream:
            document = documents.parse(stream)
        outputs = documents.output_fields(document) or ["output"]
        return Document(documents.input_fields(document), tuple(outputs))
    except Refused as error:
        raise NotArchivable(
            f"{path}: {error}", advice="give a PFA document whose method is map, as its writer made it"
        ) from None
