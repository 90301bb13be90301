"""Import this before torchvision: it declares two of its operators where its own library can't be loaded.

The packages that an index holds are built against one torch and CUDA; beside a CPU build of torch
`import torchvision` fails, since `nms` does not exist. No model of the zoo calls it.
"""

import importlib.util
from pathlib import Path

import torch


def _declare() -> None:
    spec = importlib.util.find_spec("torchvision")
    folder = Path(next(iter(spec.submodule_search_locations or []))) if spec else Path()
    for library in folder.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            break
    if hasattr(torch.ops.torchvision, "nms"):
        return
    for name in ("nms", "qnms"):
        LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
_declare()
