"""Other people's models with known answers, as artifacts: their files read within bounds, nothing run.

`cases` knows ONNX's folders, `tables` a model file with arrays beside it; `importing` publishes both.
"""
