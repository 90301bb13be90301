"""PyTorch: the state, the class's own source, the way it is called, the ONNX export."""

from pathlib import Path

from timeproof.frameworks.pytorch.options import PyTorchOptions
from timeproof.frameworks.spec import FrameworkSpec

__all__ = ["FRAMEWORK", "PyTorchOptions"]

FRAMEWORK = FrameworkSpec(
    name="pytorch",
    tag="pt",
    title="PyTorch",
    module="torch",
    distributions=("torch", "pytorch", "pytorch-cpu", "pytorch-gpu"),
    adapter="timeproof.frameworks.pytorch.adapter:PyTorch",
    options=PyTorchOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a torch.nn.Module",
    files="a .safetensors file with its class",
    extensions=(".safetensors",),
    sniff="timeproof.frameworks.pytorch.files:sniff",
    arrays="timeproof.frameworks.pytorch.passing:to_array",
    needed_for="archiving live PyTorch models",
    float64=True,
    rank=1,
    runs_code=True,
)
