"""What must never be sealed as something else: state that no file holds, arguments of another object.

All without an ONNX copy, which would betray some of them by its distance: that is no check of the answer.
"""

from __future__ import annotations

import nets_wrong
import torch
from nets_plain import Perceptron
from torch import nn
from torch.nn.utils import prune
from zoo_case import Made, model, wrong

WIDTHS = {"inputs": 6, "hidden": 16, "classes": 3}


def asked(net: nn.Module, x: torch.Tensor, **init_args: object) -> Made:
    return Made(net, x, lambda: net(x), {"init_args": init_args, "onnx": False})


@wrong("a tensor attribute that is no buffer", "mean", quick=True)
def tensor_attribute() -> Made:
    net = nets_wrong.Centred(5).eval()
    net.fit(torch.randn(50, 5) + 3)
    return asked(net, torch.randn(8, 5), width=5)


@wrong("a number of heads forgotten in init_args", "num_heads", "init_args", quick=True)
def forgotten_heads() -> Made:
    net = nets_wrong.Heads(16, num_heads=4).eval()
    return asked(net, torch.randn(2, 7, 16), width=16)


@wrong("another temperature in init_args than it was built with", "temperature", "init_args")
def wrong_init_args() -> Made:
    return asked(nets_wrong.Tempered(5, temperature=0.3).eval(), torch.randn(8, 5), width=5, temperature=1.0)


@wrong("an attribute set after it was built", "temperature")
def attribute_set() -> Made:
    net = nets_wrong.Tempered(5).eval()
    net.temperature = 0.2
    return asked(net, torch.randn(8, 5), width=5)


@wrong("a layer exchanged after it was built", "act", "GELU")
def layer_exchanged() -> Made:
    net = nets_wrong.Tempered(5).eval()
    net.act = nn.GELU()
    return asked(net, torch.randn(8, 5), width=5)


@wrong("batch normalisation exchanged by a layer that does nothing", "norm", "Identity", "state")
def layer_removed() -> Made:
    net = nets_wrong.Tempered(5).eval()
    net.norm = nn.Identity()
    return asked(net, torch.randn(8, 5), width=5)


@wrong("a module's global that was changed", "")
def module_global() -> Made:
    nets_wrong.SCALE = 1.7
    return asked(nets_wrong.Tempered(5).eval(), torch.randn(8, 5), width=5)


@wrong("a forward hook that changes the answer", "hook", quick=True)
def forward_hook() -> Made:
    net = Perceptron(**WIDTHS).eval()
    net.register_forward_hook(lambda module, inputs, output: output.softmax(-1))
    return asked(net, torch.randn(8, 6), **WIDTHS)


@wrong("a hook that changes a layer's input", "hook")
def pre_hook() -> Made:
    net = Perceptron(**WIDTHS).eval()
    net.body.register_forward_pre_hook(lambda module, inputs: (inputs[0].clamp(-0.1, 0.1),))
    return asked(net, torch.randn(8, 6), **WIDTHS)


@wrong("a replaced forward", "forward")
def replaced_forward() -> Made:
    net = Perceptron(**WIDTHS).eval()
    own = net.forward
    net.forward = lambda x: own(x).softmax(-1)  # type: ignore[method-assign]
    return asked(net, torch.randn(8, 6), **WIDTHS)


@wrong("a layer's forward replaced", "forward")
def replaced_layer_forward() -> Made:
    net = Perceptron(**WIDTHS).eval()
    net.head.forward = lambda x: x[:, :3]  # type: ignore[method-assign]
    return asked(net, torch.randn(8, 6), **WIDTHS)


@wrong("layers in a plain list: others each time", "layers", "list", "two runs")
def layers_in_a_list() -> Made:
    return asked(nets_wrong.Listed(6).eval(), torch.randn(8, 6), width=6)


@model("a count of calls in a plain attribute; the first call's answer", refused="")
def counts_its_calls() -> Made:
    return asked(nets_wrong.Remembering(6).eval(), torch.randn(8, 6), width=6)


@wrong("asked in training mode, where batch statistics count", "train")
def training_mode() -> Made:
    net = nets_wrong.Tempered(5)
    net.drop.p = 0.0
    return asked(net, torch.randn(16, 5) * 3 + 1, width=5)


@wrong("a subclass made in a function", "inside a function")
def local_class() -> Made:
    class Softened(Perceptron):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).softmax(-1)

    return asked(Softened(**WIDTHS).eval(), torch.randn(8, 6), **WIDTHS)


@wrong("weights cut by a mask that pruning applies in a hook", "weight_mask", "state", "prune", "hook")
def pruned() -> Made:
    net = Perceptron(**WIDTHS).eval()
    prune.l1_unstructured(net.head, "weight", amount=0.5)
    return asked(net, torch.randn(8, 6), **WIDTHS)
