"""Run a TorchScript module: torch.jit.load, and the call as the artifact records it.

PyTorch's own loader is in every image that this one is in, for the same packages bring both; how tensors
are made, passed and named is its.
"""

import importlib
import os
from typing import Any, Callable, Dict, List, Optional, Tuple

from timeproof_probe.file_checks import Refused

MODULES = ("torch", "numpy")


def warm() -> None:
    importlib.import_module("torch")


def pytorch(part: str) -> Any:
    """Give a part of PyTorch's own loader."""
    return importlib.import_module("..pytorch." + part, __package__)


def prepare(directory: str, model: str, options: Dict[str, Any], threads: Optional[int]) -> Callable[[], Any]:
    """What comes back loads the module, each time anew. Raises Refused where torch has no TorchScript."""
    torch: Any = importlib.import_module("torch")
    pytorch("load").set_threads(threads)
    if not hasattr(torch.jit, "load"):
        raise Refused("torch {} reads TorchScript no more: use an older one".format(torch.__version__))
    pytorch("load").register_operators(options)

    def build() -> Any:
        module = torch.jit.load(os.path.join(directory, model), map_location="cpu")
        if hasattr(module, "training"):  # a frozen one is in no mode
            module.eval()
        return module

    return build


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the module's outputs as (name, array, the type it was made from or "")."""
    answers: List[Tuple[str, Any, str]] = pytorch("load").answers(
        prepare(directory, model, options, threads)(), inputs, options
    )
    return answers
