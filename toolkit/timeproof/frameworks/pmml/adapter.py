"""Save PMML models: the document's bytes as they are. The user's process asks the evaluator of the probe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks import model_files
from timeproof.frameworks.base import (
    AdapterDefaults,
    Array,
    Saved,
    SavedFile,
    SaveOptions,
    answering,
    copy_bytes,
)
from timeproof.frameworks.inputs import Inputs, normalise_inputs
from timeproof.frameworks.options import options_of
from timeproof.frameworks.pmml import FRAMEWORK, documents
from timeproof.frameworks.pmml.copies import add_copy
from timeproof.frameworks.pmml.documents import Document, signature_of
from timeproof.frameworks.pmml.options import PmmlOptions
from timeproof.frameworks.trees.frames import columns_of_frame
from timeproof.frameworks.trees.tables import is_frame


class Pmml(AdapterDefaults):
    name = FRAMEWORK.name

    def recognises(self, model: object) -> bool:
        return isinstance(model, (str, os.PathLike)) and os.fspath(model)[-5:] in {".pmml", b".pmml"}

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def inputs(self, model: Any, original: object) -> Inputs:  # noqa: ARG002
        """Read a table, whose columns are the fields in their order, or a vector for each field's name."""
        if is_frame(original):
            return columns_of_frame(original)
        return normalise_inputs(original)

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        return self.save_file(_path(model), inputs, folder, tag, options)

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a document's bytes. Raises NotArchivable where nothing can evaluate it with the inputs."""
        if options_of(PmmlOptions, options.framework).format not in {None, "pmml"}:
            raise BadRequest(f"{path} is kept as it is", advice="leave the format out")
        document = documents.read(path)
        settings = _settings(document, inputs, path)
        file = f"model_{tag}.pmml"
        copy_bytes(path, folder / file)
        notes: tuple[str, ...] = ()
        if document.left_out:
            notes = (f"outputs of kinds that are not evaluated: {', '.join(document.left_out)}",)
        return Saved(
            framework=self.name,
            framework_version=np.__version__,
            files=(SavedFile(file, "model", "pmml"),),
            model=file,
            class_module=None,
            class_name=None,
            init_args={},
            options=settings,
            copies=(),
            source_files=(),
            notes=notes,
            input_names=tuple(inputs),
            signature=signature_of(document),
        )

    def load_file(self, path: Path) -> str:
        return str(path)  # a `Path` would be asked in a process of its own again

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Evaluate the document here; a `Path`, in a process of its own. Raises NotArchivable."""
        if isinstance(model, Path):
            original = inputs.original if isinstance(inputs, Inputs) else dict(inputs)
            return model_files.answers(self.name, model, original, saved.options)
        from timeproof.frameworks.pmml.probe import load

        path = _path(model)
        with answering():
            outputs = load.run(
                str(path.parent), path.name, list(inputs.items()), dict(saved.options), None, {}
            )
        return {name: array for name, array, _ in outputs}

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
        return add_copy(_path(copy), inputs, folder, tag, saved)


def _settings(document: Document, inputs: Mapping[str, Array], path: Path) -> dict[str, Json]:
    """What the loader is told. Raises NotArchivable where the inputs are not the document's."""
    names = list(document.fields)
    facts: dict[str, Json] = {"version": document.version, "model": document.kind}
    tables = [array for array in inputs.values() if array.ndim == 2 and array.shape[1] != 1]
    if len(inputs) == 1 and (tables or len(names) == 1):
        (array,) = inputs.values()
        if array.ndim == 2 and array.shape[1] == len(names):
            return {"columns": [*names], "facts": facts}
    elif not tables:
        missing = [name for name in names if name not in inputs and name not in document.optional]
        strange = [name for name in inputs if name not in names]
        if not missing and not strange:
            return {"columns": None, "facts": facts}
    taken = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
    raise NotArchivable(
        f"{path} takes the fields {', '.join(names)}; the inputs are {taken}",
        advice="give a table with these columns in this order, a DataFrame with these names, or a mapping"
        " from each name to its values",
    )


def _path(model: Any) -> Path:
    if isinstance(model, (str, os.PathLike)):
        return Path(os.fsdecode(model))
    raise BadRequest(f"{model!r} is no PMML file", advice="give the path of a .pmml file")
