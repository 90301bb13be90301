"""PyTorch: the state, the class's own source, the way it is called, the ONNX export."""

from timeproof.frameworks.spec import FrameworkSpec

FRAMEWORK = FrameworkSpec(
    name="pytorch",
    tag="pt",
    title="PyTorch",
    module="torch",
    distributions=("torch", "pytorch", "pytorch-cpu"),
    adapter="timeproof.frameworks.pytorch.adapter:PyTorch",
    takes="a torch.nn.Module",
    sniff="timeproof.frameworks.pytorch.files:sniff",
    needed_for="archiving live PyTorch models",
    float64=True,
    rank=1,
    runs_code=True,
)
