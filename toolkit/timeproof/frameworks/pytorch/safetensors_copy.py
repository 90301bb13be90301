"""The weights as .safetensors beside the .pth: the same state, bit for bit, for readers without a pickle.

It is stored and checked, and never replayed: what replays is the .pth.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import SavedFile
from timeproof.frameworks.pytorch.probe import safetensors_file
from timeproof.frameworks.pytorch.probe.safetensors_file import FORMAT

_NAMED = 3


def write_copy(
    live: Mapping[str, Any], pth: Path, folder: Path, tag: str, notes: list[str]
) -> list[SavedFile]:
    """Write `model_<tag>.safetensors` with the state that the .pth holds, and compare the two.

    The .pth is read back as whoever loads it will. Tensors that are one (tied weights) are written once; the
    file's metadata names the others, as safetensors.torch.save_model does.

    Args:
        live: the state that the .pth was written from.
        notes: gets a sentence where the format can't hold the state.

    Raises:
        NotArchivable: the two files don't hold the same bits.
    """
    torch: Any = importlib.import_module("torch")
    if refusal := _refusal(live):
        notes.append(f"there is no safetensors copy: {refusal}")
        return []
    state = torch.load(pth, map_location="cpu", weights_only=True, mmap=True)["model_state"]
    file = f"model_{tag}.safetensors"
    distinct, same = _distinct(state)
    safetensors_file.write(str(folder / file), distinct.items(), same)
    copied = safetensors_file.read_tensors(str(folder / file))
    if different := [name for name in state if name not in copied or not _equal(state[name], copied[name])]:
        raise NotArchivable(
            f"the state's {different[0]} is not the same in {file} as in {pth.name}",
            advice="archive it without that file: PyTorchOptions(safetensors=False)",
        )
    return [SavedFile(file, "optional", "safetensors")]


def _refusal(state: Mapping[str, Any]) -> str:
    """Say why the format can't hold the state; empty where it can."""
    torch: Any = importlib.import_module("torch")
    reasons = []
    for name, item in state.items():
        if not torch.is_tensor(item):
            reasons.append(f"{name} is a {type(item).__name__}, no tensor")
        elif item.is_quantized or item.layout != torch.strided:
            reasons.append(f"{name} is a quantized or sparse tensor")
        elif str(item.dtype).removeprefix("torch.") not in FORMAT:
            reasons.append(f"{name} is of {str(item.dtype).removeprefix('torch.')}")
        elif name == "__metadata__":
            reasons.append("a tensor is called __metadata__")
    more = f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return f"the format can't hold it ({'; '.join(reasons[:_NAMED])}{more})" if reasons else ""


def _distinct(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Give each tensor once, under the first of its names, and say which other names are the same one."""
    by_place: dict[tuple[object, ...], str] = {}
    same: dict[str, str] = {}
    for name in sorted(state):
        tensor = state[name]
        place = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and by_place.setdefault(place, name) != name:
            same[name] = by_place[place]
    return {name: tensor for name, tensor in state.items() if name not in same}, same


def _equal(tensor: Any, other: Any) -> bool:
    torch: Any = importlib.import_module("torch")
    if tensor.dtype != other.dtype or tensor.shape != other.shape:
        return False
    first, second = (safetensors_file.bytes_of(torch, item) for item in (tensor, other))
    return bool(first == second)
