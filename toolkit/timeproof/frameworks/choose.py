"""Which adapter a model, a name or a file belongs to."""

from __future__ import annotations

import re
from pathlib import Path

from timeproof.errors import BadRequest, NotArchivable, NotFound
from timeproof.frameworks.base import Adapter
from timeproof.frameworks.lightgbm import LightGBM
from timeproof.frameworks.onnx import Onnx
from timeproof.frameworks.pytorch import PyTorch
from timeproof.frameworks.xgboost import XGBoost

ADAPTERS: tuple[Adapter, ...] = (PyTorch(), XGBoost(), LightGBM(), Onnx())

_DUMP = re.compile(rb'\{\s*"name"\s*:\s*"tree"')
_PICKLES = frozenset({".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".sav"})


def adapter_for(model: object) -> Adapter:
    """Give the adapter of a live model. Raises NotArchivable where no framework knows it."""
    for adapter in ADAPTERS:
        if adapter.recognises(model):
            return adapter
    kind = type(model)
    raise NotArchivable(
        f"{kind.__module__}.{kind.__qualname__} is not a model of a known framework",
        advice="archive a torch.nn.Module, an XGBoost or LightGBM Booster or wrapper, or an ONNX file",
    )


def adapter_named(name: str) -> Adapter:
    """Give the adapter called `name`. Raises BadRequest."""
    for adapter in ADAPTERS:
        if adapter.name == name:
            return adapter
    known = ", ".join(adapter.name for adapter in ADAPTERS)
    raise BadRequest(f"no framework is called {name!r}", advice=f"it is one of {known}")


def adapter_for_file(path: Path) -> Adapter:
    """Give the adapter of an existing model file, by its name and its first bytes; it is not loaded.

    Raises:
        NotFound: there is no such file.
        NotArchivable: its format is not one that can be archived as it is.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    suffix = path.suffix.lower()
    with path.open("rb") as stream:
        head = stream.read(4096).lstrip()
    if suffix == ".onnx":
        return adapter_named("onnx")
    if suffix == ".ubj":
        return adapter_named("xgboost")
    if suffix == ".json":
        if b'"learner"' not in head and _DUMP.match(head):
            raise NotArchivable(
                f"{path} is what LightGBM's dump_model wrote, which nothing can load back",
                advice="archive the text that Booster.save_model writes",
            )
        if head.startswith(b"{") and (b'"learner"' in head or b'"version"' in head):
            return adapter_named("xgboost")
    if suffix == ".txt" and head.startswith(b"tree"):
        return adapter_named("lightgbm")
    if suffix in _PICKLES:
        raise NotArchivable(
            f"{path} holds a pickle: weights without their class, or code that runs when it is loaded",
            advice="give a Python function instead, which returns the model and its inputs",
        )
    raise NotArchivable(
        f"{path} is not a model file that can be archived as it is",
        advice="give an .onnx file, XGBoost's .json or .ubj, LightGBM's .txt, or a Python function",
    )
