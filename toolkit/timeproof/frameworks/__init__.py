"""One adapter a framework: how a trained model becomes files that last.

Each adapter imports its framework only when it is handed one of its models, so that this package
imports without any of them. No engine, no metadata here.
"""

from timeproof.frameworks.base import Adapter, Copy, Saved, SavedFile, SaveOptions
from timeproof.frameworks.choose import adapter_for, adapter_for_file
from timeproof.frameworks.inputs import Inputs, normalise_inputs, read_inputs
from timeproof.frameworks.registry import adapter_named
from timeproof.frameworks.spec import FrameworkSpec

__all__ = [
    "Adapter",
    "Copy",
    "FrameworkSpec",
    "Inputs",
    "SaveOptions",
    "Saved",
    "SavedFile",
    "adapter_for",
    "adapter_for_file",
    "adapter_named",
    "normalise_inputs",
    "read_inputs",
]
