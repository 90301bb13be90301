"""How LightGBM models are imported with somebody's answers."""

from timeproof.frameworks.lightgbm import FRAMEWORK
from timeproof.frameworks.lightgbm.model import feature_names
from timeproof.frameworks.trees.importing import TreesImporter

IMPORTER = TreesImporter(
    framework=FRAMEWORK.name,
    outputs={"predict": "<f8", "raw_score": "<f8", "leaf": "<i4"},
    rounds_option=lambda rounds: {"num_iteration": rounds},
    feature_names=feature_names,
)
