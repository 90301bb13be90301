"""An installed environment, captured to the exact files."""
