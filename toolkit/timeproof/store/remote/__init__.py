"""Archives that lie elsewhere, read through a mirror, and what all transfers share."""
