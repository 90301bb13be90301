"""What the adapters of documents with named fields (PMML, PFA) have in common."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
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
from timeproof.frameworks.options import FrameworkOptions, options_of
from timeproof.frameworks.trees.frames import columns_of_frame
from timeproof.frameworks.trees.tables import is_frame


class FieldsAdapter(AdapterDefaults):
    """An adapter of documents that the probe's own evaluator runs.

    Args:
        options: the framework's record.
        loader: the module of the evaluator.
    """

    options: type[FrameworkOptions]
    loader: str

    def recognises(self, model: object) -> bool:
        if not isinstance(model, (str, os.PathLike)):
            return False
        return os.fsdecode(model).endswith(f".{self.name}")

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def inputs(self, model: Any, original: object) -> Inputs:  # noqa: ARG002 - every adapter is called alike
        """Read a table, whose columns are the fields in their order, or a vector for each field's name."""
        if is_frame(original):
            return columns_of_frame(original)
        return normalise_inputs(original)

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a document's bytes. Raises NotArchivable where nothing can evaluate it with the inputs."""
        raise NotImplementedError

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        return self.save_file(path_of(model, self.name), inputs, folder, tag, options)

    def load_file(self, path: Path) -> str:
        return str(path)  # a `Path` would be asked in a process of its own again

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Evaluate the document here; a `Path`, in a process of its own. Raises NotArchivable."""
        if isinstance(model, Path):
            original = inputs.original if isinstance(inputs, Inputs) else dict(inputs)
            return model_files.answers(self.name, model, original, saved.options)
        load: Any = importlib.import_module(self.loader)
        path = path_of(model, self.name)
        with answering():
            outputs = load.run(
                str(path.parent), path.name, list(inputs.items()), dict(saved.options), None, {}
            )
        return {name: array for name, array, _ in outputs}

    def check_format(self, path: Path, options: SaveOptions) -> None:
        """Raise BadRequest where another format is asked for."""
        if options_of(self.options, options.framework).format not in {None, self.name}:
            raise BadRequest(f"{path} is kept as it is", advice="leave the format out")

    def describe(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        folder: Path,
        tag: str,
        options: Mapping[str, Json],
        signature: Mapping[str, Json],
        notes: tuple[str, ...],
    ) -> Saved:
        """Copy the document's bytes, and say what was written."""
        file = f"model_{tag}.{self.name}"
        copy_bytes(path, folder / file)
        return Saved(
            framework=self.name,
            framework_version=np.__version__,
            files=(SavedFile(file, "model", self.name),),
            model=file,
            class_module=None,
            class_name=None,
            init_args={},
            options=options,
            copies=(),
            source_files=(),
            notes=notes,
            input_names=tuple(inputs),
            signature=signature,
        )


def path_of(model: Any, name: str) -> Path:
    """Give the path that names a document. Raises BadRequest."""
    if isinstance(model, (str, os.PathLike)):
        return Path(os.fsdecode(model))
    raise BadRequest(f"{model!r} is no {name} file", advice=f"give the path of a .{name} file")


def columns_setting(
    fields: Sequence[str], optional: frozenset[str], inputs: Mapping[str, Array], path: Path
) -> list[Json] | None:
    """What the columns of the one table are; None for a vector for each field.

    Raises NotArchivable where the inputs are not the document's.
    """
    tables = [array for array in inputs.values() if array.ndim == 2 and array.shape[1] != 1]
    if len(inputs) == 1 and (tables or len(fields) == 1):
        (array,) = inputs.values()
        if array.ndim == 2 and array.shape[1] == len(fields):
            return [*fields]
    if not tables:
        missing = [name for name in fields if name not in inputs and name not in optional]
        strange = [name for name in inputs if name not in fields]
        if not missing and not strange:
            return None
    taken = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
    raise NotArchivable(
        f"{path} takes the fields {', '.join(fields)}; the inputs are {taken}",
        advice="give a table with these columns in this order, a DataFrame with these names, or a mapping"
        " from each name to its values",
    )


def model_columns(fields: Sequence[str], inputs: Mapping[str, Array], saved: Saved) -> list[Json]:
    """Which field of a copy each column of the model's table is: by its name, else by its place.

    Raises NotArchivable where there are more or fewer fields than columns.
    """
    features: Any = saved.signature.get("features") or []
    names: Any = saved.options.get("feature_names") or [feature["name"] for feature in features]
    sparse: Any = saved.options.get("sparse")
    width = int(sparse["shape"][1]) if sparse else next(iter(inputs.values())).shape[-1]
    if set(fields) <= {str(name) for name in names} and len(names) == width:
        return [str(name) for name in names]
    if len(fields) != width:
        raise NotArchivable(
            f"the copy takes {len(fields)} fields ({', '.join(fields)}), the model {width}",
            advice="convert the model anew, with all its columns, and with their own names",
        )
    return [*fields]


def model_categories(columns: Sequence[Json], types: Mapping[str, str], saved: Saved) -> dict[str, Json]:
    """What the numbers of a model's column stand for, where a copy's field holds text."""
    features: Any = saved.signature.get("features") or []
    return {
        str(column): [str(category) for category in feature["categories"]]
        for column, feature in zip(columns, features, strict=False)
        if feature.get("categories") and types.get(str(column)) == "string"
    }


def sparse_options(saved: Saved) -> dict[str, Json]:
    """How a copy reads the model's sparse matrix."""
    absent = 0.0 if saved.framework == "lightgbm" else None
    sparse = saved.options.get("sparse")
    return {"sparse": sparse, "absent": absent} if sparse else {}
