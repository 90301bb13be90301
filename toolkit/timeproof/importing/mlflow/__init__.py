"""Import model folders that MLflow wrote. MLflow is not needed, and nothing of the folder is imported or run.

`folder` reads the `MLmodel` file, `flavors` says which file in it is the model, `example` reads the recorded
inputs, `requirements` what they say of the environment; `flow` seals the model in a container.
"""
