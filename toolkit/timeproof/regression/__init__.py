"""Compatibility regression: old models in other environments, and a grid of honest verdicts."""
