"""TensorFlow and Keras: `.keras` files and SavedModel folders, which TensorFlow runs both.

One framework, not two: what decides on the answer is TensorFlow (its kernels, its profile, its version), and
one loader asks both.
"""

from pathlib import Path
from types import MappingProxyType

from timeproof.frameworks.spec import FrameworkSpec
from timeproof.frameworks.tensorflow.options import TensorFlowOptions

__all__ = ["FRAMEWORK", "TensorFlowOptions"]

FRAMEWORK = FrameworkSpec(
    name="tensorflow",
    tag="tf",
    title="TensorFlow",
    module="tensorflow",
    distributions=(
        *("tensorflow-cpu", "tensorflow", "tensorflow-intel", "tensorflow-cpu-aws", "tensorflow-rocm"),
        *("tensorflow-base", "tf-nightly", "tf-nightly-cpu", "tensorflow-gpu"),
    ),
    adapter="timeproof.frameworks.tensorflow.adapter:TensorFlow",
    options=TensorFlowOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a keras.Model or tf.Module",
    files="a .keras file",
    folders="a SavedModel folder",
    extensions=(".keras",),
    sniff="timeproof.frameworks.tensorflow.adapter:sniff",
    arrays="timeproof.frameworks.tensorflow.passing:to_array",
    needed_for="archiving live Keras and TensorFlow models",
    float64=True,
    rank=5,
    # A SavedModel is a program of TensorFlow's operators, some of which read and write files.
    runs_code=True,
    # Without the first, TensorFlow's own oneDNN operators take the place of Eigen's; docs/numerics.md.
    profile=MappingProxyType({"TF_ENABLE_ONEDNN_OPTS": "0"}),
)
