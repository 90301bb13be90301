"""The one comparison: arrays in, verdicts out. No IO, and no framework."""
