"""timeproof: archive a model with its answers and its environment, and replay it bit for bit."""

__version__ = "0.1.0"
