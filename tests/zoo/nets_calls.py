"""Networks that differ in how they are asked: names, order, keywords, defaults."""

from __future__ import annotations

import torch
from torch import nn


class Priced(nn.Module):
    """Not the same when its two inputs change places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(2, width)

    def forward(self, price: torch.Tensor, qty: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.stack([price * 3.0, torch.sqrt(qty)], -1))


class KeywordOnly(Priced):
    def forward(self, *, qty: torch.Tensor, price: torch.Tensor) -> torch.Tensor:
        return super().forward(price, qty)


class AnyKeywords(Priced):
    def forward(self, **columns: torch.Tensor) -> torch.Tensor:
        return super().forward(columns["price"], columns["qty"])


class AnyPositions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(3))

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        return sum(weight * part for weight, part in zip(self.weights, parts, strict=True))


class Masked(nn.Module):
    """The last of three is often left out; the middle one sometimes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        y = self.layer(x)
        if mask is not None:
            y = y * mask
        return y if bias is None else y + bias


class Nested(nn.Module):
    """Answers with a dictionary of tuples."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> dict[str, object]:
        y = self.layer(x)
        return {"boxes": (y[:, :2], y[:, 2:]), "scores": y.softmax(-1), "count": torch.tensor(len(y))}


class Bundled(nn.Module):
    """Takes one dictionary, as many data loaders give it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 1)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.layer(batch["x"]) * batch["scale"]


class Scaled(nn.Module):
    """Takes a plain number beside its tensor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        return self.layer(x) / temperature
