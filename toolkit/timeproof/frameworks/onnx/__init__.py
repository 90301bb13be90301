"""ONNX: the file as it is, its graph and its traps, its data files and cases."""

from pathlib import Path

from timeproof.frameworks.onnx.options import OnnxOptions
from timeproof.frameworks.spec import FrameworkSpec

__all__ = ["FRAMEWORK", "OnnxOptions"]

FRAMEWORK = FrameworkSpec(
    name="onnx",
    tag="onnx",
    title="ONNX Runtime",
    module="onnxruntime",
    runtime="onnxruntime",
    distributions=(
        *("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
        *("onnxruntime-training", "onnxruntime-rocm", "onnxruntime-migraphx", "onnxruntime-qnn"),
        *("ort-nightly", "ort-nightly-gpu"),
    ),
    adapter="timeproof.frameworks.onnx.adapter:Onnx",
    options=OnnxOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="an ONNX file",
    files="an .onnx file",
    extensions=(".onnx",),
    sniff="timeproof.frameworks.onnx.adapter:sniff",
    imports="timeproof.frameworks.onnx.importing:IMPORTER",
    needed_for="comparing ONNX models with this process",
    float64=True,
    rank=4,
    runs_code=False,
)
