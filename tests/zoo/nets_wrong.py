"""Networks whose state and arguments don't say all that they answer with."""

from __future__ import annotations

import torch
from torch import nn

SCALE = 1.0


class Centred(nn.Module):
    """Its mean is a plain attribute: in no state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = torch.zeros(width)
        self.layer = nn.Linear(width, 3)

    def fit(self, x: torch.Tensor) -> None:
        self.mean = x.mean(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x - self.mean)


class Heads(nn.Module):
    """The state of four heads fits eight as well."""

    def __init__(self, width: int, num_heads: int = 8) -> None:
        super().__init__()
        self.mix = nn.MultiheadAttention(width, num_heads, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(x, x, x, need_weights=False)[0]


class Tempered(nn.Module):
    """A number and a layer that its user may set."""

    def __init__(self, width: int, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.layer = nn.Linear(width, 4)
        self.act: nn.Module = nn.ReLU()
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.norm(self.act(self.layer(x)))).div(self.temperature) * SCALE


class Listed(nn.Module):
    """Layers in a plain list: neither in the state nor among the parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = [nn.Linear(width, width) for _ in range(2)]
        self.head = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(x)


class Remembering(nn.Module):
    """Answers differently each time: it counts its calls in a plain attribute."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.calls = 0
        self.layer = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.layer(x) * self.calls
