"""How results look in a terminal. Values go in, text comes out."""
