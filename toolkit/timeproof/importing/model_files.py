"""A model file and what lies beside it, as its framework's importer reads it; and what was written of it."""

from __future__ import annotations

from pathlib import Path

from timeproof.frameworks.base import Saved
from timeproof.frameworks.choose import spec_for_file
from timeproof.frameworks.imports import importer_of
from timeproof.store import publish
from timeproof.store.reference import Array
from timeproof.store.schema.v1 import FileEntry


def table_inputs(source: Path, table: Path) -> dict[str, Array]:
    """Read the inputs of a model file from a table of text, in the columns' order and the model's dtype.

    Raises:
        NotImportable: the table is none, or names the model's features in another order.
    """
    return importer_of(spec_for_file(source)).read_table(source, table)


def entries_of(saved: Saved, folder: Path) -> list[FileEntry]:
    """Hash the files that were written of a model into their entries."""
    return [publish.entry(folder, file.path, file.role, file.format) for file in saved.files]
