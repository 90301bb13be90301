"""CatBoost: the .cbm file, and beside it CatBoost's own JSON and ONNX."""

from pathlib import Path

from timeproof.frameworks.catboost.options import CatBoostOptions
from timeproof.frameworks.spec import FrameworkSpec

__all__ = ["FRAMEWORK", "CatBoostOptions"]

FRAMEWORK = FrameworkSpec(
    name="catboost",
    tag="cb",
    title="CatBoost",
    module="catboost",
    distributions=("catboost",),
    adapter="timeproof.frameworks.catboost.adapter:CatBoost",
    options=CatBoostOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a CatBoost model",
    files="CatBoost's .cbm or .json",
    sniff="timeproof.frameworks.catboost.model_file:sniff",
    imports="timeproof.frameworks.catboost.importing:IMPORTER",
    tables=True,
    needed_for="archiving live CatBoost models",
    margin="raw_formula_val",
    rank=5,
    runs_code=False,
)
