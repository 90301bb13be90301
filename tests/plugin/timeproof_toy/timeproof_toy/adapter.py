"""How a toy model becomes files that last."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import (
    AdapterDefaults,
    Array,
    Saved,
    SavedFile,
    SaveOptions,
    answering,
    copy_bytes,
)
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.options import options_of
from timeproof_toy import FRAMEWORK, ToyOptions
from timeproof_toy.linear import LinearModel


def sniff(file: ModelFile) -> bool:
    return file.text.startswith(b"{") and b'"toy_linear"' in file.text


class ToyAdapter(AdapterDefaults):
    name = FRAMEWORK.name

    def recognises(self, model: object) -> bool:
        return isinstance(model, LinearModel)

    def input_name(self, model: object) -> str | None:
        return "rows"

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        if not model.weights:
            raise NotArchivable("the toy model has no weights", advice="train it first")
        file = f"model_{tag}.json"
        model.save(folder / file)
        return self._saved(file, inputs, options)

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        file = f"model_{tag}.json"
        copy_bytes(path, folder / file)
        return self._saved(file, inputs, options)

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        if isinstance(model, Path):
            model = LinearModel.load(model)
        (rows,) = inputs.values()
        with answering():
            return {"predict": model.predict(rows) * float(str(saved.options["scale"]))}

    def _saved(self, file: str, inputs: Mapping[str, Array], options: SaveOptions) -> Saved:
        scale = options_of(ToyOptions, options.framework).scale
        return Saved(
            framework=self.name,
            framework_version=np.__version__,
            files=(SavedFile(file, "model", "toy-json"),),
            model=file,
            class_module=LinearModel.__module__,
            class_name=LinearModel.__qualname__,
            init_args={},
            options={"scale": scale},
            copies=(),
            source_files=(),
            notes=(),
            input_names=tuple(inputs),
        )
