"""What one model gives for each row: a number or a class, and each class's probability."""

from typing import Any, Dict, Optional

import numpy

from .columns import Column
from .elements import Element


class Prediction:
    """Exactly one of `numbers` and `labels` is there.

    Args:
        numbers: float64 `[rows]`, NaN where missing.
        labels: text `[rows]`.
        probabilities: class → float64 `[rows]`, in the document's order.
        single: whether it is computed in float32.
    """

    __slots__ = ("labels", "missing", "numbers", "probabilities", "single")

    def __init__(
        self,
        missing: Any,
        numbers: Any = None,
        labels: Any = None,
        probabilities: "Optional[Dict[str, Any]]" = None,
        single: bool = False,
    ) -> None:
        self.missing = missing
        self.numbers = numbers
        self.labels = labels
        self.probabilities = probabilities
        self.single = single

    def column(self, data_type: str) -> Column:
        """Give what is predicted, as a column."""
        if self.labels is not None:
            return Column(self.labels, self.missing, "string").cast(data_type or "string")
        return Column(self.numbers, self.missing | numpy.isnan(self.numbers), data_type or "double")


def is_single(model: Element) -> bool:
    """Whether a model is computed in float32: an extension that many writers use."""
    return model.get("x-mathContext") == "float"


def rounded(values: Any, single: bool) -> Any:
    """Round to float32 where a model is computed in it; the values stay float64."""
    if not single:
        return values
    with numpy.errstate(all="ignore"):
        return values.astype(numpy.float32).astype(numpy.float64)


def most_probable(probabilities: Dict[str, Any], rows: int) -> Any:
    """Give each row's class: the first of those with the largest probability."""
    labels = numpy.array(list(probabilities), dtype="U")
    table = numpy.array([probabilities[label] for label in probabilities]).reshape(len(labels), rows)
    with numpy.errstate(all="ignore"):
        return labels[numpy.argmax(numpy.where(numpy.isnan(table), -numpy.inf, table), axis=0)]
