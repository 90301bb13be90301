"""ONNX: the file as it is, its graph and its traps, its data files and cases."""
