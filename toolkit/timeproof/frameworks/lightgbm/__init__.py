"""LightGBM: the text file."""

from pathlib import Path

from timeproof.frameworks.lightgbm.options import LightGBMOptions
from timeproof.frameworks.spec import FrameworkSpec

__all__ = ["FRAMEWORK", "LightGBMOptions"]

FRAMEWORK = FrameworkSpec(
    name="lightgbm",
    tag="lgb",
    title="LightGBM",
    module="lightgbm",
    distributions=("lightgbm",),
    adapter="timeproof.frameworks.lightgbm.adapter:LightGBM",
    options=LightGBMOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a LightGBM Booster or wrapper",
    files="LightGBM's .txt",
    sniff="timeproof.frameworks.lightgbm.model:sniff",
    imports="timeproof.frameworks.lightgbm.importing:IMPORTER",
    tables=True,
    needed_for="archiving live LightGBM models",
    margin="raw_score",
    rank=3,
    runs_code=False,
)
