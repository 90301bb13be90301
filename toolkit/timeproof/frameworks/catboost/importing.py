"""How CatBoost models are imported with somebody's answers."""

from timeproof.frameworks.catboost import FRAMEWORK
from timeproof.frameworks.catboost.model_file import feature_names
from timeproof.frameworks.trees.importing import TreesImporter

IMPORTER = TreesImporter(
    framework=FRAMEWORK.name,
    outputs={"predict": "<f8", "predict_proba": "<f8", "raw_formula_val": "<f8"},
    rounds_option=lambda rounds: {"ntree_end": rounds},
    feature_names=feature_names,
)
