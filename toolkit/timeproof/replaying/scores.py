"""Which outputs hold class scores along their last axis, where another argmax is another class. No IO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from timeproof.errors import BadRequest
from timeproof.store.schema.v1 import ArraySpec


def scores_of(specs: Iterable[ArraySpec]) -> dict[str, bool]:
    """What the metadata says of its outputs, by name; an output that is not in it is judged by its shape."""
    return {spec.name: spec.scores for spec in specs if spec.scores is not None}


def marked(
    names: Iterable[str], outputs: Mapping[str, object], by_model: Mapping[str, bool]
) -> dict[str, bool]:
    """Mark the outputs that the user names, beside those whose model says what they are.

    Args:
        names: of outputs that hold class scores, as the user gave them.
        outputs: all that the model gives, by name.
        by_model: what the model itself says; the names of outputs that it does not give are left out.

    Raises:
        BadRequest: the model gives no output of that name.
    """
    wanted = list(names)
    if strange := [name for name in wanted if name not in outputs]:
        raise BadRequest(
            f"--scores {strange[0]}: the model gives no such output",
            advice=f"its outputs are: {', '.join(outputs)}",
        )
    return {name: is_scores for name, is_scores in by_model.items() if name in outputs} | dict.fromkeys(
        wanted, True
    )
