"""Conda packages: their format, where they come from, and the layer they make."""
