"""The one program that runs inside the container: loads artifacts, gives outputs, knows nothing else.

This folder is copied into each image and run there as `python -I /opt/timeproof/probe job.json`, on
Python 3.6 and up, with the standard library alone. It imports nothing of the toolkit around it; the
toolkit may import `wire`, `naming` and `onnxfile` from here, which import nothing of each other.
"""
