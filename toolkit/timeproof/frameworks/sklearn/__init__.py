"""scikit-learn: the object as skops writes it, without a pickle; its table, and an ONNX copy."""

from pathlib import Path

from timeproof.frameworks.sklearn.options import SklearnOptions
from timeproof.frameworks.spec import FrameworkSpec

__all__ = ["FRAMEWORK", "SklearnOptions"]

FRAMEWORK = FrameworkSpec(
    name="sklearn",
    tag="skl",
    title="scikit-learn",
    module="sklearn",
    distributions=("scikit-learn",),
    needs=("skops",),
    adapter="timeproof.frameworks.sklearn.adapter:Sklearn",
    options=SklearnOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a scikit-learn estimator or Pipeline",
    files="a .skops file",
    extensions=(".skops",),
    sniff="timeproof.frameworks.sklearn.skops_file:sniff",
    tables=True,
    needed_for="archiving live scikit-learn models, together with skops",
    rank=5,
    # skops builds the types that a file names, and a crafted one may do more with them than was meant.
    runs_code=True,
)
