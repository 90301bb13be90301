"""PyTorch: the state, the class's own source, the way it is called, the ONNX export."""
