"""What a user says of every model that is an ensemble of trees."""

from __future__ import annotations

from timeproof.frameworks.options import FrameworkOptions


class TreesOptions(FrameworkOptions):
    """Options of a model of trees.

    Args:
        pmml: write a PMML copy beside the model; by default where it is small (`copies.NODES`).
        pfa: write a PFA copy.
    """

    pmml: bool | None = None
    pfa: bool = False
