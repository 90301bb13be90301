"""Networks that are quantized where they are built, so that their state fits."""

from __future__ import annotations

import warnings

import torch
from nets_plain import Perceptron
from torch import nn
from torch.ao import quantization


class Dynamic(nn.Module):
    """Linear layers with int8 weights."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = Perceptron(inputs, hidden, classes).eval()
            self.net = quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class Static(nn.Module):
    """Convolutions in int8, calibrated on a fixed picture when it is built."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.backends.quantized.engine = "fbgemm"
            net = nn.Sequential(
                quantization.QuantStub(),
                nn.Conv2d(3, channels, 3),
                nn.ReLU(),
                nn.Conv2d(channels, 4, 3, stride=2),
                quantization.DeQuantStub(),
            ).eval()
            net.qconfig = quantization.get_default_qconfig("fbgemm")
            net = quantization.fuse_modules(net, [["1", "2"]])
            quantization.prepare(net, inplace=True)
            net(torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16))
            self.net = quantization.convert(net)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.net(pictures)
