"""How results look in a terminal. Values in, text out."""
