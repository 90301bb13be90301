"""TorchScript: what torch.jit made, live or in a file. A rescue: PyTorch deprecates it since 2.11."""

from pathlib import Path

from timeproof.frameworks.spec import FrameworkSpec
from timeproof.frameworks.torchscript.options import TorchScriptOptions

__all__ = ["FRAMEWORK", "TorchScriptOptions"]

FRAMEWORK = FrameworkSpec(
    name="torchscript",
    tag="ts",
    title="TorchScript",
    module="torch",
    distributions=("torch", "pytorch", "pytorch-cpu", "pytorch-gpu"),
    adapter="timeproof.frameworks.torchscript.adapter:TorchScript",
    options=TorchScriptOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a torch.jit.ScriptModule",
    files="a TorchScript file (.pt)",
    sniff="timeproof.frameworks.torchscript.code_files:sniff",
    needed_for="archiving live TorchScript modules",
    float64=True,
    rank=6,
    runs_code=True,
)
