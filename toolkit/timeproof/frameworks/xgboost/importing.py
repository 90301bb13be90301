"""How XGBoost models are imported with somebody's answers."""

from timeproof.frameworks.trees.importing import TreesImporter
from timeproof.frameworks.xgboost import FRAMEWORK
from timeproof.frameworks.xgboost.model_file import feature_names

IMPORTER = TreesImporter(
    framework=FRAMEWORK.name,
    outputs={"predict": "<f4", "margin": "<f4", "leaf": "<f4"},
    rounds_option=lambda rounds: {"iteration_range": [0, rounds]},
    feature_names=feature_names,
)
