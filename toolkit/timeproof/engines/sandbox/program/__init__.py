"""The program that makes a box without a container engine; see `__main__`."""
