"""Artifacts run in containers: the image and the folder they get, and what the probe says of them."""
