"""Other people's models with known answers, as artifacts: their files read within bounds, nothing run.

`model_files` reads a model with what lies beside it, `array_files` arrays; `flow` publishes them. ONNX's own
folders of cases are read by `frameworks.onnx.case_folders`.
"""
