"""Wheels: the toolkit's own pip, and what it fetched."""
