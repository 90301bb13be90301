"""PFA: scoring engines in JSON; written as copies of trees, and evaluated by the probe's own evaluator."""

from pathlib import Path

from timeproof.frameworks.pfa.options import PfaOptions
from timeproof.frameworks.spec import FrameworkSpec

__all__ = ["FRAMEWORK", "PfaOptions"]

FRAMEWORK = FrameworkSpec(
    name="pfa",
    tag="pfa",
    title="PFA",
    module="numpy",
    runtime="numpy",
    # The evaluator is the probe's own: it runs wherever there is NumPy.
    distributions=("numpy",),
    adapter="timeproof.frameworks.pfa.adapter:Pfa",
    options=PfaOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a PFA file",
    files="a .pfa file",
    extensions=(".pfa",),
    sniff="timeproof.frameworks.pfa.documents:sniff",
    imports="timeproof.frameworks.pfa.importing:IMPORTER",
    tables=True,
    rank=6,
    runs_code=False,
)
