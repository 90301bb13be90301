"""PMML: documents of trees, ensembles and regressions; written as copies, and evaluated without Java."""

from pathlib import Path

from timeproof.frameworks.pmml.options import PmmlOptions
from timeproof.frameworks.spec import FrameworkSpec

__all__ = ["FRAMEWORK", "PmmlOptions"]

FRAMEWORK = FrameworkSpec(
    name="pmml",
    tag="pmml",
    title="PMML",
    module="numpy",
    runtime="numpy",
    # The evaluator is the probe's own: it runs wherever there is NumPy.
    distributions=("numpy",),
    adapter="timeproof.frameworks.pmml.adapter:Pmml",
    options=PmmlOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a PMML file",
    files="a .pmml file",
    extensions=(".pmml",),
    sniff="timeproof.frameworks.pmml.documents:sniff",
    imports="timeproof.frameworks.pmml.importing:IMPORTER",
    tables=True,
    rank=5,
    runs_code=False,
)
