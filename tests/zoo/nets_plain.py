"""Networks of nobody in particular: their source goes into the archive with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


class Perceptron(nn.Module):
    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.Tanh())
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


class Convolutional(nn.Module):
    """Convolutions with batch statistics, pooled, then classes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1, groups=2),
            nn.GroupNorm(4, 2 * channels),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.3),
        )
        self.head = nn.Linear(2 * channels, classes)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(pictures))


class UNet(nn.Module):
    """Two steps down, two up, each with what was there before; one plane out."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        c = channels
        self.inwards = nn.ModuleList([self.block(3, c), self.block(c, 2 * c), self.block(2 * c, 4 * c)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(4 * c, 2 * c, 2, 2), nn.ConvTranspose2d(2 * c, c, 2, 2)])
        self.outwards = nn.ModuleList([self.block(4 * c, 2 * c), self.block(2 * c, c)])
        self.last = nn.Conv2d(c, 1, 1)

    @staticmethod
    def block(inwards: int, outwards: int) -> nn.Sequential:
        layers = []
        for size in (inwards, outwards):
            layers += [nn.Conv2d(size, outwards, 3, padding=1), nn.BatchNorm2d(outwards), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.inwards[0](x)
        second = self.inwards[1](functional.max_pool2d(first, 2))
        x = self.inwards[2](functional.max_pool2d(second, 2))
        for up, same, block in zip(self.up, (second, first), self.outwards, strict=True):
            x = block(torch.cat([up(x), same], 1))
        return torch.sigmoid(self.last(x))


class Recurrent(nn.Module):
    def __init__(self, kind: str, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cells = getattr(nn, kind)(inputs, hidden, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, series: torch.Tensor) -> tuple[torch.Tensor, object]:
        steps, state = self.cells(series)
        return self.head(steps), state


class Spectrogram(nn.Module):
    """What a torchaudio user has before a classifier: STFT, mel bands, decibels."""

    def __init__(self, points: int = 256, bands: int = 20) -> None:
        super().__init__()
        self.points = points
        self.register_buffer("window", torch.hann_window(points))
        self.register_buffer("mel", torch.rand(bands, points // 2 + 1))
        self.head = nn.Conv1d(bands, 4, 5)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        bins = torch.stft(sound, self.points, self.points // 4, window=self.window, return_complex=True)
        power = torch.matmul(self.mel, bins.abs().square())
        return self.head(10 * torch.log10(power.clamp(min=1e-10)))


class Spectrum(nn.Module):
    """Complex parameters, and a complex answer."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(points // 2 + 1, dtype=torch.complex64))

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfft(signal) * self.filter


class Attention(nn.Module):
    """Scaled dot products over heads, with rotated positions: made of functions alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, steps, width = x.shape
        q, k, v = self.project(x).view(batch, steps, self.heads, 3, -1).permute(3, 0, 2, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, steps, width))


class Tied(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.mix = Attention(width, 4)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.mix(self.embedding(tokens)))


class Lazy(nn.Module):
    """Its layers learn their width from the first batch."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Normed(nn.Module):
    """Parametrizations: weights that are computed from others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(width, width))
        self.second = nn.utils.parametrizations.spectral_norm(nn.Linear(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


class Bags(nn.Module):
    """Whole numbers in; a table of features and a class out."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.bags = nn.EmbeddingBag(words, width, mode="mean")

    def forward(self, tokens: torch.Tensor, offsets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = self.bags(tokens, offsets)
        return pooled, pooled.argmax(-1)


class Sampler(nn.Module):
    """Positions that are computed when it is built, and not kept in the state."""

    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(0, width, 2) * (-math.log(1e4) / width))
        angles = torch.arange(steps)[:, None] * rates
        table = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
        self.register_buffer("positions", table, persistent=False)
        self.layer = nn.TransformerEncoderLayer(width, 4, 2 * width, batch_first=True, norm_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x + self.positions)


@dataclass
class Estimate:
    mean: torch.Tensor
    spread: torch.Tensor


class Estimator(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 2)

    def forward(self, x: torch.Tensor) -> Estimate:
        mean, spread = self.layer(x).chunk(2, -1)
        return Estimate(mean, functional.softplus(spread))


class Experts(nn.Module):
    """Chooses, row by row, one of several layers; control flow that depends on the data."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, experts)
        self.experts = nn.ModuleList([nn.Linear(width, width) for _ in range(experts)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        choice = self.gate(x).argmax(-1)
        out = torch.zeros_like(x)
        for k, expert in enumerate(self.experts):
            rows = choice == k
            if rows.any():
                out[rows] = expert(x[rows])
        return out


class Graph(nn.Module):
    """Messages along edges, added up at each node."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.message = nn.Linear(2 * width, width)

    def forward(self, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        start, end = edges
        messages = torch.relu(self.message(torch.cat([nodes[start], nodes[end]], 1)))
        return torch.zeros_like(nodes).index_add(0, end, messages)


class Mixed(nn.Module):
    """A body that may be of another type than the head; inputs are converted to it."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Linear(inputs, hidden)
        self.head = nn.Linear(hidden, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(self.body(x.to(self.body.weight.dtype)))
        return self.head(y.to(self.head.weight.dtype))


class Wide(nn.Module):
    """Adds up in float64, and answers so."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cumsum(self.layer(x).double() / 3, 0)


class Unrolled(nn.Module):
    """A recurrence in a loop that its input's length decides."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(inputs, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(x.size(0), self.cell.hidden_size)
        for step in range(x.size(1)):
            state = self.cell(x[:, step], state)
        return state
