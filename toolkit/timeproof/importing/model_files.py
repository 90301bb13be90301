"""A model file and the files beside it, which its framework's importer reads; the entries of the copies."""

from __future__ import annotations

from pathlib import Path

from timeproof.frameworks.base import Saved
from timeproof.frameworks.choose import spec_for_file
from timeproof.frameworks.imports import importer_of
from timeproof.store import publish
from timeproof.store.reference import Array
from timeproof.store.schema.v1 import FileEntry


def read_table_inputs(source: Path, table: Path) -> dict[str, Array]:
    """Read the inputs of a model file from a table of text, in the columns' order and the model's dtype.

    Raises:
        NotImportable: the file is not a table of numbers, or names the model's features in another order.
    """
    return importer_of(spec_for_file(source)).read_table(source, table)


def hash_entries(saved: Saved, folder: Path) -> list[FileEntry]:
    """Hash the files that were written for a model, and return their entries."""
    return [publish.entry(folder, file.path, file.role, file.format) for file in saved.files]
