"""Import other people's models with known answers as artifacts. Files are read within bounds; nothing runs.

A framework's importer reads the files (`frameworks.imports`), `model_files` hashes the copies, and `flow`
publishes them.
"""
