"""What a user says of a scikit-learn model."""

from __future__ import annotations

from pydantic import field_validator

from timeproof.errors import BadRequest
from timeproof.frameworks.sklearn.probe.asking import METHODS
from timeproof.frameworks.trees.options import TreesOptions


class SklearnOptions(TreesOptions):
    """Options of a scikit-learn model.

    Args:
        methods: what the model is asked by, each an output; None: `predict`, and `predict_proba` and
            `decision_function` where it has them; a model without `predict` by `transform`, else by
            `score_samples`.
        onnx: whether an ONNX copy is made, where skl2onnx can.
    """

    methods: tuple[str, ...] | None = None
    onnx: bool = True

    @field_validator("methods", mode="before")
    @classmethod
    def _check_methods(cls, methods: object) -> object:
        if methods is None:
            return None
        names = (methods,) if isinstance(methods, str) else methods
        if not isinstance(names, (tuple, list)) or not names or len(set(names)) != len(names):
            raise BadRequest(f"the methods are {methods!r}", advice="give a tuple of different names")
        if strange := [name for name in names if name not in METHODS]:
            raise BadRequest(
                f"a scikit-learn model is not asked by {strange[0]!r}",
                advice=f"the methods are {', '.join(METHODS)}",
            )
        return tuple(names)
