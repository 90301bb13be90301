"""Save PFA models: the document's bytes as they are. The user's process asks the evaluator of the probe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.frameworks.base import Array, Saved, SaveOptions
from timeproof.frameworks.pfa import FRAMEWORK, documents
from timeproof.frameworks.pfa.copies import add_copy
from timeproof.frameworks.pfa.options import PfaOptions
from timeproof.frameworks.trees.field_documents import FieldsAdapter, columns_setting, path_of


class Pfa(FieldsAdapter):
    name = FRAMEWORK.name
    options = PfaOptions
    loader = "timeproof.frameworks.pfa.probe.load"

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a document's bytes. Raises NotArchivable where it takes other inputs."""
        self.check_format(path, options)
        document = documents.read(path)
        settings: dict[str, Json] = {
            "columns": columns_setting(list(document.fields), frozenset(), inputs, path)
        }
        features: list[Json] = [{"name": name, "type": kind} for name, kind in document.fields.items()]
        return self.describe(path, inputs, folder, tag, settings, {"features": features}, ())

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
