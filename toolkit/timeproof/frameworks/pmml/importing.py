"""Importing PMML files: with answers that lie beside them, or with those that they hold themselves."""

from __future__ import annotations

from pathlib import Path

from timeproof.errors import NotArchivable, NotImportable
from timeproof.frameworks.imports import BadData, KnownAnswers
from timeproof.frameworks.pmml import FRAMEWORK, documents
from timeproof.frameworks.pmml.verification_data import read_verification
from timeproof.frameworks.trees.field_importing import Description, FieldsImporter


class PmmlImporter(FieldsImporter):
    """How PMML models are imported."""

    def read_own_answers(self, source: Path) -> KnownAnswers:
        """Read the rows of a file's own ModelVerification. Raises NotImportable where it has none."""
        try:
            root = documents.parse(source, with_verification=True)
            return read_verification(root, documents.describe(root, source))
        except (BadData, NotArchivable) as error:
            reason = error.message if isinstance(error, NotArchivable) else str(error)
            raise NotImportable(source, [reason]) from None


def _described(source: Path) -> Description:
    document = documents.read(source)
    return document.fields, document.optional, document.outputs


IMPORTER = PmmlImporter(framework=FRAMEWORK.name, describe=_described)
