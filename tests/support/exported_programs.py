"""Small exported programs, live and as files; and files that were changed by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROWS = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)
SCALE = np.array([1, 2, 3], np.float32)


class Scaled(torch.nn.Module):
    """A layer, a buffer that is not persistent, a constant, and an input that goes by name alone."""

    steps: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 3)
        self.register_buffer("steps", torch.arange(3.0), persistent=False)
        self.shift = torch.tensor([0.5, 0.25, 0.125])

    def forward(self, x: torch.Tensor, *, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = torch.relu(self.layer(x)) + self.steps + self.shift
        return {"hidden": hidden, "scaled": hidden * scale}


def exported() -> Any:
    """A program with a free batch, which was exported with five rows."""
    batch = torch.export.Dim("batch")
    return torch.export.export(
        Scaled().eval(),
        (torch.from_numpy(ROWS),),
        {"scale": torch.from_numpy(SCALE)},
        dynamic_shapes={"x": {0: batch}, "scale": None},
    )


def saved_file(path: Path) -> Path:
    torch.export.save(exported(), path)
    return path


def rewritten(
    path: Path, target: Path, change: Mapping[str, Callable[[bytes], bytes | None]], **zipped: Any
) -> Path:
    """Write a zip anew, with some members changed (by the end of their names) or left out (None)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(stream, "w", **zipped) as new:
        for info in old.infolist():
            data: bytes | None = old.read(info)
            for ending, edit in change.items():
                if info.filename.endswith(ending):
                    data = edit(old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
    target.write_bytes(stream.getvalue())
    return target
