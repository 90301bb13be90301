"""Which adapter a model, a name or a file belongs to."""

from __future__ import annotations

from pathlib import Path

from timeproof.errors import BadRequest, NotArchivable, NotFound
from timeproof.frameworks.base import Adapter
from timeproof.frameworks.lightgbm.adapter import LightGBM
from timeproof.frameworks.onnx.adapter import Onnx
from timeproof.frameworks.pytorch.adapter import PyTorch
from timeproof.frameworks.sniffing import LIVE, advice_for, identify
from timeproof.frameworks.xgboost.adapter import XGBoost

ADAPTERS: tuple[Adapter, ...] = (PyTorch(), XGBoost(), LightGBM(), Onnx())


def adapter_for(model: object) -> Adapter:
    """Give the adapter of a live model. Raises NotArchivable where no framework knows it."""
    for adapter in ADAPTERS:
        if adapter.recognises(model):
            return adapter
    kind = type(model)
    raise NotArchivable(
        f"{kind.__module__}.{kind.__qualname__} is not a model of a known framework",
        advice=advice_for(kind.__module__.partition(".")[0])
        or "archive a torch.nn.Module, an XGBoost or LightGBM Booster or wrapper, or an ONNX file",
    )


def adapter_named(name: str) -> Adapter:
    """Give the adapter called `name`. Raises BadRequest."""
    for adapter in ADAPTERS:
        if adapter.name == name:
            return adapter
    known = ", ".join(adapter.name for adapter in ADAPTERS)
    raise BadRequest(f"no framework is called {name!r}", advice=f"it is one of {known}")


def adapter_for_file(path: Path) -> Adapter:
    """Give the adapter of an existing model file, by its bytes, whatever it is called; it is not loaded.

    Raises:
        NotFound: there is no such file.
        NotArchivable: its format is not one that can be archived as it is.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    kind = identify(path)
    if isinstance(kind, str):
        return adapter_named(kind)
    if kind is not None:
        raise NotArchivable(f"{path} is {kind.what}: it can't be archived as it is", advice=kind.instead)
    # A file of an extension that says what it is meant to be: its adapter says what is wrong with it.
    if path.suffix.lower() == ".onnx":
        return adapter_named("onnx")
    raise NotArchivable(
        f"{path} is not a model file that can be archived as it is",
        advice="give an .onnx file, XGBoost's .json or .ubj, LightGBM's .txt; or load the model and archive"
        f" it: {LIVE}",
    )
