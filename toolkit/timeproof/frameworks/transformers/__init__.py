"""Hugging Face transformers: the configuration, safetensors and the tokenizer's files, as one artifact."""

from pathlib import Path

from timeproof.frameworks.spec import FrameworkSpec
from timeproof.frameworks.transformers.options import TransformersOptions

__all__ = ["FRAMEWORK", "TransformersOptions"]

FRAMEWORK = FrameworkSpec(
    name="transformers",
    tag="hf",
    title="Transformers",
    module="transformers",
    distributions=("transformers",),
    adapter="timeproof.frameworks.transformers.adapter:Transformers",
    options=TransformersOptions,
    probe=Path(__file__).resolve().parent / "probe",
    takes="a model of transformers",
    folders="a folder of save_pretrained",
    sniff="timeproof.frameworks.transformers.local_folder:sniff",
    needed_for="archiving live Transformers models",
    float64=True,
    rank=6,
    # The container loads JSON, safetensors and a tokenizer's data by the library's own classes; code that a
    # folder brings (auto_map), pickles and chat templates are never run.
    runs_code=False,
)
