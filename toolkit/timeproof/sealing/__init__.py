"""Archiving: a model's files are saved, sealed by two runs, and published."""
