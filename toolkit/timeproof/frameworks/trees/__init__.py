"""What the libraries of trees share: tables, the meaning of outputs, overridden methods."""
