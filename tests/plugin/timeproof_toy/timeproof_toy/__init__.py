"""Linear models, stored as JSON and run by NumPy: a framework that is a plugin, and the smallest."""

from pathlib import Path

from timeproof.frameworks.spec import FrameworkSpec
from timeproof_toy.options import ToyOptions

__all__ = ["FRAMEWORK", "ToyOptions"]

FRAMEWORK = FrameworkSpec(
    name="toy_linear",
    tag="toy7",
    title="Toy Linear",
    module="numpy",
    distributions=("numpy",),
    adapter="timeproof_toy.adapter:ToyAdapter",
    options=ToyOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a toy LinearModel",
    files="a toy model's .json",
    sniff="timeproof_toy.adapter:sniff",
    profile={"TOY_ROUNDING": "nearest"},
    runs_code=False,
)
