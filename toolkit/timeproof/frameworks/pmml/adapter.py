"""Save PMML models: the document's bytes as they are. The user's process asks the evaluator of the probe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.frameworks.base import Array, Saved, SaveOptions
from timeproof.frameworks.pmml import FRAMEWORK, documents
from timeproof.frameworks.pmml.copies import add_copy
from timeproof.frameworks.pmml.options import PmmlOptions
from timeproof.frameworks.trees.field_documents import FieldsAdapter, columns_setting, path_of


class Pmml(FieldsAdapter):
    name = FRAMEWORK.name
    options = PmmlOptions
    loader = "timeproof.frameworks.pmml.probe.load"

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a document's bytes. Raises NotArchivable where nothing can evaluate it with the inputs."""
        self.check_format(path, options)
        document = documents.read(path)
        settings: dict[str, Json] = {
            "columns": columns_setting(list(document.fields), document.optional, inputs, path),
            "facts": {"version": document.version, "model": document.kind},
        }
        notes: tuple[str, ...] = ()
        if document.left_out:
            notes = (f"outputs of kinds that are not evaluated: {', '.join(document.left_out)}",)
        signature = documents.signature_of(document)
        return self.describe(path, inputs, folder, tag, settings, signature, notes)

    def add_copy(
        self,
        copy: Any,
        inputs: Mapping[str, Array],
        folder: Path,
        tag: str,
        options: SaveOptions,  # noqa: ARG002 - every adapter is called alike
        saved: Saved,
    ) -> Saved:
        """Copy a document that another framework's model was converted to, beside that model."""
        return add_copy(path_of(copy, self.name), inputs, folder, tag, saved)
