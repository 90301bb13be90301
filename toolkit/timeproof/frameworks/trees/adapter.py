"""What the adapters of libraries of trees have in common: how a Booster, or its wrapper, is asked.

Both libraries have a Booster, and wrappers in scikit-learn's manner whose answer is the Booster's, made over.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.frameworks import model_files
from timeproof.frameworks.base import AdapterDefaults, Array, Saved, SavedFile, answering
from timeproof.frameworks.inputs import Inputs, Table
from timeproof.frameworks.trees import overrides
from timeproof.frameworks.trees.ensemble import Ensemble
from timeproof.frameworks.trees.meanings import signature_of
from timeproof.frameworks.trees.tables import question_of


class TreesAdapter(AdapterDefaults):
    """An adapter of a library of trees.

    Args:
        library: its module.
        article: its name within a sentence, article included: "a LightGBM".
        methods: of a wrapper or a Booster, those that decide on the answer.
        margin: the output that holds the raw scores.
        margin_option: how `predict` is asked for them.
    """

    library: str
    article: str
    methods: tuple[str, ...]
    margin: str
    margin_option: str

    def booster_of(self, model: Any) -> Any:
        """Give a wrapper's Booster, or the Booster itself. Raises NotArchivable where it is not fitted."""
        raise NotImplementedError

    def wrapper_class(self, model: Any) -> Any:
        """Give the library's own class of a wrapper, which a user's class may derive from."""
        raise NotImplementedError

    def read_question(self, model: Any, original: object) -> Inputs:
        """Read the one table that the user hands in. Raises NotArchivable."""
        raise NotImplementedError

    def ask_booster(self, booster: Any, table: Any) -> dict[str, Array]:
        """Ask a Booster with the user's table, as its user does."""
        raise NotImplementedError

    def ensemble(self, model: Any, folder: Path, saved: Saved) -> Ensemble:
        """Give the model as an ensemble of trees, of which copies are written in other formats.

        Args:
            model: the live model, or the path of its file.
            folder: where the model's own files lie, as `save` or `save_file` has written them.

        Raises NoEnsemble.
        """
        raise NotImplementedError

    def labels_of(self, model: Any, values: Any) -> Array:  # noqa: ARG002 - for the library that needs the model
        """Give the labels that a classifier's `predict` makes of what the library's own gives."""
        return np.asarray(values)

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def inputs(self, model: Any, original: object) -> Inputs:
        """Read the one table, and ask the model with it as its user does: what it refuses, is refused here.

        Raises NotArchivable, in the library's words where they are the library's.
        """
        inputs = self.read_question(model, original)
        if not isinstance(model, Path):
            self._ask(model, inputs)
        return inputs

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the user's own object, with the user's own table: `predict_proba` or `predict`, raw scores.

        A classifier whose `predict` is the user's own gives its labels, too, where they are others than the
        library's: no container can give those. A file is asked where this process has the library in use.

        Raises NotArchivable.
        """
        if isinstance(model, Path):
            return model_files.answers(self.name, model, question_of(inputs, self.article)[0], saved.options)
        return self._ask(model, inputs)

    def differences(self, model: object, saved: Saved) -> list[str]:  # noqa: ARG002 - every adapter is called alike
        """Say why the container may answer otherwise than the user's own object."""
        return overrides.differences(model, self.library, self.methods)

    def load_file(self, path: Path) -> Any:
        return importlib.import_module(self.library).Booster(model_file=path)

    def _ask(self, model: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
        table, _ = question_of(inputs, self.article)
        booster = self.booster_of(model)
        with answering(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the library warns of, the user has seen in training
            return self.ask_booster(booster, table) if booster is model else self._ask_wrapper(model, table)

    def _ask_wrapper(self, model: Any, table: Any) -> dict[str, Array]:
        classifies = hasattr(model, "predict_proba")
        method = "predict_proba" if classifies else "predict"
        outputs = {method: np.asarray(getattr(model, method)(table))}
        library = self.wrapper_class(model)
        if classifies and overrides.replaced(model, self.library, "predict"):
            labels = np.asarray(model.predict(table))
            if not np.array_equal(labels, self.labels_of(model, library.predict(model, table))):
                outputs["predict"] = labels
        outputs[self.margin] = np.asarray(library.predict(model, table, **{self.margin_option: True}))
        return outputs


def saved_file(
    framework: str,
    file: SavedFile,
    inputs: Mapping[str, Array],
    table: Table,
    options: Mapping[str, Json],
    notes: tuple[str, ...],
    *,
    misconverted: str = "",
) -> Saved:
    """Describe a model file that was copied as it is: of the object that it holds nothing is known."""
    return Saved(
        framework=framework,
        framework_version=None,
        files=(file,),
        model=file.path,
        class_module=None,
        class_name=None,
        init_args={},
        options=options,
        copies=(),
        source_files=(),
        notes=notes,
        misconverted=misconverted,
        input_names=tuple(inputs),
        signature=signature_of(table),
    )
