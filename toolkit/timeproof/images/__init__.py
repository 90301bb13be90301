"""From a lock to an image: base, recipe, build, and the instructions for a replay without us."""
