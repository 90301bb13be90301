"""The program that makes a sandbox without a container engine; see `__main__`."""
