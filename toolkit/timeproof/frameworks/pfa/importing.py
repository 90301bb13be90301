"""Importing PFA files with answers that lie beside them: PFA has no place for answers in the file."""

from __future__ import annotations

from timeproof.frameworks.pfa import FRAMEWORK, documents
from timeproof.frameworks.trees.field_importing import FieldsImporter

IMPORTER = FieldsImporter(
    framework=FRAMEWORK.name,
    describe=lambda path: (
        (document := documents.read(path)).fields,
        frozenset(),
        document.outputs,
    ),
)
