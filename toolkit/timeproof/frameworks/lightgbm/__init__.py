"""LightGBM: the text file."""
