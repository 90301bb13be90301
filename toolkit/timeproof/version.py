"""The toolkit's version, alone, so that everything may import it."""

VERSION = "0.1.0"
