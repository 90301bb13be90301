"""Other numbers than float32: half, bfloat16, double, mixed, complex, quantized, whole."""

from __future__ import annotations

import nets_plain
import nets_quantized
import torch
from torch import nn
from torch.ao import quantization
from zoo_case import Made, model

WIDTHS = {"inputs": 6, "hidden": 32, "classes": 3}


def perceptron(kind: torch.dtype, given: torch.dtype) -> Made:
    net = nets_plain.Perceptron(**WIDTHS).to(kind).eval()
    x = torch.randn(20, 6).to(given)
    return Made(net, x, lambda: net(x), {"init_args": WIDTHS})


@model("float64")
def double() -> Made:
    return perceptron(torch.float64, torch.float64)


@model("float64, asked with NumPy's array")
def double_array() -> Made:
    net = nets_plain.Perceptron(**WIDTHS).double().eval()
    x = torch.randn(20, 6).double().numpy()
    return Made(net, x, lambda: net(torch.from_numpy(x)), {"init_args": WIDTHS})


@model("a float64 answer of a float32 model, finer than float32")
def double_answer() -> Made:
    net = nets_plain.Wide(6).eval()
    x = torch.randn(20, 6)
    return Made(net, x, lambda: net(x), {"init_args": {"inputs": 6}, "onnx": False})


@model("float16", quick=True)
def half() -> Made:
    return perceptron(torch.float16, torch.float16)


@model("bfloat16, asked with bfloat16", refused="bfloat16")
def bfloat16() -> Made:
    return perceptron(torch.bfloat16, torch.bfloat16)


@model("bfloat16 convolutions, asked with whole numbers", refused="bfloat16")
def bfloat16_tokens() -> Made:
    net = nets_plain.Tied(100, 32).to(torch.bfloat16).eval()
    tokens = torch.randint(0, 100, (2, 9))
    return Made(net, tokens, lambda: net(tokens), {"init_args": {"words": 100, "width": 32}})


@model("float16 convolutions with float32 batch statistics")
def half_convolutions() -> Made:
    net = nets_plain.Convolutional(8, 5).half().eval()
    x = torch.randn(2, 3, 32, 32).half()
    return Made(net, x, lambda: net(x), {"init_args": {"channels": 8, "classes": 5}})


@model("a bfloat16 body and a float32 head")
def mixed() -> Made:
    net = nets_plain.Mixed(6, 32).eval()
    net.body.to(torch.bfloat16)
    x = torch.randn(20, 6)
    return Made(net, x, lambda: net(x), {"init_args": {"inputs": 6, "hidden": 32}})


@model("double a part: one layer in float64, after it was built")
def one_layer_double() -> Made:
    net = nets_plain.Mixed(6, 32).eval()
    net.body.double()
    x = torch.randn(20, 6)
    return Made(net, x, lambda: net(x), {"init_args": {"inputs": 6, "hidden": 32}})


@model("complex parameters, a complex answer")
def complex_answer() -> Made:
    net = nets_plain.Spectrum(32).eval()
    x = torch.randn(4, 32)
    return Made(net, x, lambda: net(x), {"init_args": {"points": 32}})


@model("int8 linear layers, quantized where it is built")
def quantized_dynamic() -> Made:
    net = nets_quantized.Dynamic(**WIDTHS).eval()
    x = torch.randn(20, 6)
    return Made(net, x, lambda: net(x), {"init_args": WIDTHS})


@model("int8 linear layers, quantized after it was built", refused="")
def quantized_afterwards() -> Made:
    net = nets_plain.Perceptron(**WIDTHS).eval()
    net = quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    x = torch.randn(20, 6)
    return Made(net, x, lambda: net(x), {"init_args": WIDTHS})


@model("int8 convolutions, calibrated where it is built")
def quantized_static() -> Made:
    net = nets_quantized.Static(8).eval()
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    return Made(net, x, lambda: net(x), {"init_args": {"channels": 8}})


@model("channels last in memory")
def channels_last() -> Made:
    net = nets_plain.Convolutional(8, 5).to(memory_format=torch.channels_last).eval()
    x = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    return Made(net, x, lambda: net(x), {"init_args": {"channels": 8, "classes": 5}})
