"""Small PyTorch networks, each made of other operators. What they were trained on doesn't matter here."""

import torch
from torch import nn


class Recurrent(nn.Module):
    """An LSTM over a sequence; takes `[rows, steps, 8]`, gives `[rows, 3]` probabilities."""

    def __init__(self, hidden=16):
        super().__init__()
        self.lstm = nn.LSTM(8, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 3)

    def forward(self, sequence):
        return torch.softmax(self.head(self.lstm(sequence)[0][:, -1]), dim=-1)


class Attention(nn.Module):
    """Multi-head attention with residuals, layer norm and GELU; takes `[rows, steps, 16]`."""

    def __init__(self, width=16, heads=4):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens):
        mixed = self.first(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])
        return self.second(mixed + self.wide(mixed))


class Depthwise(nn.Module):
    """A depthwise separable convolution as in MobileNet; takes `[rows, 3, 16, 16]`."""

    def __init__(self, channels=12):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.Hardswish(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU6(),
            nn.Conv2d(channels, 24, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(24, 5),
        )

    def forward(self, pictures):
        return self.body(pictures)


class Normed(nn.Module):
    """A perceptron with batch norm, tanh, sigmoid and a softmax; takes `[rows, 20]`."""

    def __init__(self, width=32):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(20, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, width), nn.Sigmoid()
        )
        self.head = nn.Linear(width, 7)

    def forward(self, rows):
        return torch.softmax(self.head(self.body(rows)), dim=-1)


class Embedded(nn.Module):
    """A bag of embedded words, and their logarithms; takes int64 `[rows, words]`."""

    def __init__(self, words=200, width=24):
        super().__init__()
        self.bag = nn.EmbeddingBag(words, width, mode="mean")
        self.head = nn.Linear(width, 4)

    def forward(self, words):
        return torch.log_softmax(self.head(self.bag(words)), dim=-1)


class Int8(nn.Module):
    """Weights of 8 bits, multiplied as integers; takes `[rows, 32]`."""

    def __init__(self, width=48):
        super().__init__()
        self.first, self.second = nn.Linear(32, width), nn.Linear(width, 6)

    def forward(self, rows):
        return _in_8_bits(torch.relu(_in_8_bits(rows, self.first)), self.second)


def _in_8_bits(rows, linear):
    scale = float(linear.weight.abs().max()) / 127
    weight = torch.quantize_per_tensor(linear.weight, scale, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, linear.bias)
    return torch.ops.quantized.linear_dynamic(rows, packed)


class Distances(nn.Module):
    """Square roots, arc tangents and distances: what goes through an approximate instruction."""

    def __init__(self, centres=5):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(centres, 10))

    def forward(self, rows):
        distance = torch.cdist(rows, self.centres)
        return distance, torch.sqrt(rows.abs()), torch.atan(rows)
