"""One adapter a framework: how a trained model becomes files that last.

Each adapter imports its framework only when it is handed one of its models, so that this package
imports without any of them. No engine, no metadata here.

What stands in `__all__` is imported when it is asked for: a replay asks `registry` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timeproof.frameworks.base import Adapter, Copy, Saved, SavedFile, SaveOptions
    from timeproof.frameworks.choose import adapter_for, adapter_for_file
    from timeproof.frameworks.inputs import Inputs, normalise_inputs, read_inputs
    from timeproof.frameworks.registry import adapter_named
    from timeproof.frameworks.spec import FrameworkSpec

_MODULES = {
    **dict.fromkeys(("Adapter", "Copy", "Saved", "SavedFile", "SaveOptions"), "base"),
    **dict.fromkeys(("adapter_for", "adapter_for_file"), "choose"),
    **dict.fromkeys(("Inputs", "normalise_inputs", "read_inputs"), "inputs"),
    "adapter_named": "registry",
    "FrameworkSpec": "spec",
}

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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
