"""PMML's ModelVerification: rows of inputs with answers, by which any engine can check itself. No IO here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from timeproof.frameworks.base import Array
from timeproof.frameworks.pmml.xml_lines import XmlLines, spell, spell_answer
from timeproof.frameworks.trees.ensemble import Ensemble

ROWS = 1000  # at most
CELLS = 50_000  # at most, of all rows
# What a PMML engine allows: relative to the answer, and where that is nearly 0.
_PRECISION = {"float": ("1e-5", "1e-6"), "double": ("1e-9", "1e-12")}


@dataclass(frozen=True, slots=True)
class Verification:
    """The recorded inputs, `[rows, columns]`, and the answers by the names of the model's outputs."""

    table: Array
    outputs: Mapping[str, Array]

    def write(self, xml: XmlLines, ensemble: Ensemble, fields: Mapping[str, tuple[str, int, int]]) -> None:
        """Write the first rows.

        Args:
            fields: the document's output → the model's, the column in it, and how many it has.
        """
        answers = {name: self._vector(*place) for name, place in fields.items() if place[0] in self.outputs}
        width = len(ensemble.features) + len(answers)
        rows = min(len(self.table), ROWS, CELLS // width)
        if not rows or not answers:
            return
        kinds = _PRECISION["float" if ensemble.single else "double"]
        with xml.element("ModelVerification", recordCount=str(rows), fieldCount=str(width)):
            with xml.element("VerificationFields"):
                for k, feature in enumerate(ensemble.features):
                    xml.leaf("VerificationField", field=feature.name, column=f"x{k}")
                for k, (name, values) in enumerate(answers.items()):
                    precision, zero = kinds if values.dtype.kind == "f" else (None, None)
                    xml.leaf(
                        "VerificationField",
                        field=name,
                        column=f"y{k}",
                        precision=precision,
                        zeroThreshold=zero,
                    )
            with xml.element("InlineTable"):
                for row in range(rows):
                    with xml.element("row"):
                        self._inputs(xml, ensemble, row)
                        for k, values in enumerate(answers.values()):
                            xml.leaf(f"y{k}", _spelled(values[row]))

    def _vector(self, output: str, column: int, count: int) -> Array:
        array = self.outputs[output]
        vector: Array = (
            array[:, column] if array.ndim == 2 and count > 1 else array.reshape(len(array), -1)[:, 0]
        )
        return vector

    def _inputs(self, xml: XmlLines, ensemble: Ensemble, row: int) -> None:
        """Write a row's inputs; what is missing has no cell."""
        for k, feature in enumerate(ensemble.features):
            value = self.table[row, k]
            if value.dtype.kind == "f" and np.isnan(value):
                continue
            if feature.categories is not None:
                code = int(value)
                named = 0 <= code < len(feature.categories)
                xml.leaf(f"x{k}", feature.categories[code] if named else "(no category)")
            elif feature.coded:
                xml.leaf(f"x{k}", str(int(value)))
            else:
                xml.leaf(f"x{k}", spell(float(np.float32(value) if feature.single else value)))


def _spelled(value: object) -> str:
    return str(value) if isinstance(value, (str, np.str_)) else spell_answer(value)
