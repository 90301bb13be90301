"""Write artifacts as other tools' folders. Files are checked and copied; no model is loaded, nothing runs.

`flow` reads an artifact and publishes the folder; `mlflow_flavors` says what MLflow must be told of a
framework's model to give the archived answer; `mlflow_folder` writes the files around it.
"""
