"""The recorded table and answers of a model of trees, as what copies it into another format needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.frameworks.base import Array, Copy, Saved, SavedFile
from timeproof.frameworks.trees.ensemble import Ensemble, NoEnsemble
from timeproof_probe import table_fields


@dataclass(frozen=True, slots=True)
class Recorded:
    """The stored inputs, the answers that are known (none for a file that nobody asked), and the options."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    options: Mapping[str, Json]

    def require_table(self) -> None:
        """Raise NoEnsemble where the inputs are neither one table of numbers nor a sparse matrix."""
        arrays = list(self.inputs.values())
        table = len(arrays) == 1 and arrays[0].ndim == 2 and arrays[0].dtype.kind in "fiub"
        if not (table or self.options.get("sparse")):
            raise NoEnsemble("its table is not one array of numbers")

    def dense(self, ensemble: Ensemble) -> Array | None:
        """Give the table `[rows, columns]`; None for a sparse matrix that is too large to be written."""
        sparse: Any = self.options.get("sparse")
        if not sparse:
            (table,) = self.inputs.values()
            return table
        rows, columns = sparse["shape"]
        if rows * columns > table_fields.CELLS // 100:
            return None
        names = [feature.name for feature in ensemble.features]
        options = {"sparse": sparse, "absent": ensemble.absent, "columns": names}
        arrays, _ = table_fields.columns_of(list(self.inputs.items()), names, options)
        return np.stack([arrays[name] for name in names], axis=1)


def table_options(ensemble: Ensemble, saved: Saved) -> dict[str, Json]:
    """What a loader is told of the model's table, whose columns are the ensemble's features."""
    options: dict[str, Json] = {
        "columns": [feature.name for feature in ensemble.features],
        "categories": {
            feature.name: [*feature.categories]
            for feature in ensemble.features
            if feature.categories is not None
        },
    }
    if saved.options.get("sparse"):
        options |= {"sparse": saved.options["sparse"], "absent": ensemble.absent}
    return options


def with_file(saved: Saved, file: SavedFile, copy: Copy) -> Saved:
    """Add a copy and its file."""
    return replace(saved, files=(*saved.files, file), copies=(*saved.copies, copy))
