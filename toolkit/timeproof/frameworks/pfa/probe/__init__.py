"""What evaluates PFA models in a container: a subset of the language, in NumPy, over many rows at once."""
