"""Import other people's models with known answers as artifacts. Files are read within bounds; nothing runs.

`model_files` reads a model and the files beside it, `array_files` reads arrays, and `flow` publishes them.
ONNX's own folders of cases are read by `frameworks.onnx.case_folders`.
"""
