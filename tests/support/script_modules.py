"""Small TorchScript modules."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

ROWS = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)


class Branching(torch.nn.Module):
    """A layer, a way that the data choose, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 3)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.drop(self.layer(x)))
        if bool(hidden.sum() > 100):
            hidden = hidden * 2
        return hidden


def scripted() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates it
        return torch.jit.script(Branching().eval())


def traced() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates it, and can't follow the way that the data choose
        return torch.jit.trace(Branching().eval(), torch.from_numpy(ROWS))  # type: ignore[no-untyped-call]


def increment() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(_increment, torch.from_numpy(ROWS))  # type: ignore[no-untyped-call]


def _increment(x: torch.Tensor) -> torch.Tensor:
    return x + 1
