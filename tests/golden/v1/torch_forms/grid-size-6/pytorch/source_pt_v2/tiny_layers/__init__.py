"""A package that the tiny network needs: archived beside it."""

from tiny_layers.scaled import Scaled

__all__ = ["Scaled"]
