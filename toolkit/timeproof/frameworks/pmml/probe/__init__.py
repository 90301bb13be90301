"""What evaluates PMML models in a container: no Java, and no library but NumPy."""
