"""XGBoost: the Booster's own file, and what the file drops."""

from pathlib import Path

from timeproof.frameworks.spec import FrameworkSpec
from timeproof.frameworks.xgboost.options import XGBoostOptions

__all__ = ["FRAMEWORK", "XGBoostOptions"]

FRAMEWORK = FrameworkSpec(
    name="xgboost",
    tag="xgb",
    title="XGBoost",
    module="xgboost",
    distributions=("xgboost", "xgboost-cpu", "py-xgboost", "py-xgboost-cpu", "py-xgboost-gpu"),
    adapter="timeproof.frameworks.xgboost.adapter:XGBoost",
    options=XGBoostOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="an XGBoost Booster or wrapper",
    files="XGBoost's .json or .ubj",
    sniff="timeproof.frameworks.xgboost.model_file:sniff",
    imports="timeproof.frameworks.xgboost.importing:IMPORTER",
    tables=True,
    needed_for="archiving live XGBoost models",
    margin="margin",
    rank=2,
    runs_code=False,
)
