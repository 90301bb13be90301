"""torch.export: programs as PyTorch exports them (.pt2), with their own sample inputs, without source."""

from pathlib import Path

from timeproof.frameworks.spec import FrameworkSpec
from timeproof.frameworks.torch_export.options import TorchExportOptions

__all__ = ["FRAMEWORK", "TorchExportOptions"]

FRAMEWORK = FrameworkSpec(
    name="torch_export",
    tag="pt2",
    title="torch.export",
    module="torch",
    distributions=("torch", "pytorch", "pytorch-cpu", "pytorch-gpu"),
    adapter="timeproof.frameworks.torch_export.adapter:TorchExport",
    options=TorchExportOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a torch.export.ExportedProgram",
    files="a .pt2 file",
    extensions=(".pt2",),
    sniff="timeproof.frameworks.torch_export.files:sniff",
    own_inputs=True,
    needed_for="archiving live exported programs",
    float64=True,
    rank=5,
    runs_code=True,
)
