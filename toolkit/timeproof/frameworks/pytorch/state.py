"""What may stand in a saved PyTorch state, so that `torch.load(weights_only=True)` takes it back."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from typing import Any

from timeproof.errors import NotArchivable

_PLAIN = (type(None), bool, int, float, str, bytes)
_CONTAINERS = (dict, OrderedDict, list, tuple, set)
_DEPTH = 50


def check_state(value: object, where: str, depth: int = 0) -> None:
    """Refuse whatever only a full unpickler could load.

    Raises:
        NotArchivable: naming the entry.
    """
    torch: Any = importlib.import_module("torch")
    kind = type(value)
    if kind in _PLAIN or isinstance(value, (torch.dtype, torch.device)) or kind is torch.Size:
        return
    if isinstance(value, torch.Tensor):
        _check_tensor(value, where)
        return
    if kind not in _CONTAINERS or depth > _DEPTH:
        raise NotArchivable(
            f"{where} is a {kind.__module__}.{kind.__qualname__}, which can't be loaded without running code",
            advice="keep only tensors and plain values in the state, in dictionaries and lists",
        )
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) not in (str, int):
                raise NotArchivable(
                    f"{where} has the key {key!r}", advice="use strings and integers as keys of the state"
                )
            check_state(item, f"{where}[{key!r}]", depth + 1)
        return
    assert isinstance(value, (list, tuple, set))
    for k, item in enumerate(value):
        check_state(item, f"{where}[{k}]", depth + 1)


def _check_tensor(tensor: Any, where: str) -> None:
    torch: Any = importlib.import_module("torch")
    kind = type(tensor)
    if "Uninitialized" in kind.__name__:
        raise NotArchivable(f"{where} has no values yet", advice="run the model once before archiving it")
    if tensor.is_meta:
        raise NotArchivable(
            f"{where} is on the meta device: it has no values", advice="load the weights first"
        )
    if kind not in (torch.Tensor, torch.nn.Parameter):
        raise NotArchivable(
            f"{where} is a {kind.__module__}.{kind.__qualname__}, a tensor of a kind that needs its own code",
            advice="archive the model before it was converted to such tensors",
        )
