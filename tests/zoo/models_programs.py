"""PyTorch without a class: exported programs, TorchScript, stacks of layers, weights in their own file."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nets_calls
import nets_plain
import torch
from torch import nn
from torch.export import Dim
from zoo_case import Made, model, wrong

SIZES = dict[str, dict[int, Any] | None]


def exported(
    net: nn.Module, *inputs: torch.Tensor, shapes: SIZES | None = None, **by_name: torch.Tensor
) -> Any:
    return torch.export.export(net.eval(), inputs, by_name or None, dynamic_shapes=shapes)


def program(net: nn.Module, *inputs: torch.Tensor, shapes: SIZES | None = None) -> Made:
    """The user asks it with the inputs that it was exported with."""
    live = exported(net, *inputs, shapes=shapes)
    return Made(live, inputs, lambda: live.module()(*inputs))


def quietly(make: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript, and quantization
        return make()


def script(net: nn.Module, *inputs: torch.Tensor) -> Made:
    live = quietly(lambda: torch.jit.script(net.eval()))
    return Made(live, inputs, lambda: live(*inputs))


def file(suffix: str, save: Callable[[Path], object]) -> Path:
    path = Path(tempfile.mkdtemp(prefix="zoo-")) / f"model{suffix}"
    quietly(lambda: save(path))
    return path


# --- exported programs --------------------------------------------------------------------------


@model("exported: convolutions, a free batch, asked with another size", quick=True)
def exported_free_batch() -> Made:
    live = exported(
        nets_plain.Convolutional(8, 5), torch.randn(4, 3, 32, 32), shapes={"pictures": {0: Dim("batch")}}
    )
    pictures = torch.randn(7, 3, 32, 32)
    return Made(live, pictures, lambda: live.module()(pictures))


@model("exported: attention, a fixed shape, its own inputs")
def exported_own_inputs() -> Made:
    live = exported(nets_plain.Attention(64, 4), torch.randn(2, 10, 64))
    return Made(live, None, lambda: live.module()(*live.example_inputs[0]))


@model("exported: names in another order than forward's")
def exported_by_name() -> Made:
    columns = {"qty": torch.rand(11) * 40, "price": torch.rand(11) * 9}
    live = exported(nets_calls.KeywordOnly(4), **columns)
    other = dict(reversed(columns.items()))
    return Made(live, other, lambda: live.module()(**columns))


@model("exported: two-layer LSTM; its state in the answer")
def exported_lstm() -> Made:
    return program(nets_plain.Recurrent("LSTM", 5, 16), torch.randn(3, 20, 5))


@model("exported: bfloat16")
def exported_bfloat16() -> Made:
    net = nets_plain.Perceptron(6, 8, 3).to(torch.bfloat16)
    return program(net, torch.randn(5, 6).to(torch.bfloat16))


@model("exported: a buffer that is not persistent")
def exported_computed_buffer() -> Made:
    return program(nets_plain.Sampler(10, 32), torch.randn(2, 10, 32))


@model("exported: a .pt2 file, with the inputs in it")
def exported_file() -> Made:
    x = torch.randn(5, 6)
    live = exported(nets_plain.Perceptron(6, 8, 3), x)
    return Made(file(".pt2", lambda path: torch.export.save(live, path)), None, lambda: live.module()(x))


@wrong("exported: dropout left on", "random", "dropout", "without a seed")
def exported_in_training() -> Made:
    net = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5)).train()
    x = torch.randn(3, 4)
    live = torch.export.export(net, (x,))
    return Made(live, x, lambda: live.module()(x))


@wrong("exported: a batch of another size than it was exported with", "takes x as float32 [5, 6]", "takes")
def exported_other_batch() -> Made:
    live = exported(nets_plain.Perceptron(6, 8, 3), torch.randn(5, 6))
    x = torch.randn(7, 6)
    return Made(live, x, lambda: live.module()(x))


# --- TorchScript --------------------------------------------------------------------------------


@model("TorchScript: scripted, a loop over time")
def scripted_gru() -> Made:
    return script(nets_plain.Unrolled(5, 16), torch.randn(3, 20, 5))


@model("TorchScript: traced convolutions")
def traced_convolutions() -> Made:
    x = torch.randn(4, 3, 32, 32)
    live = quietly(lambda: torch.jit.trace(nets_plain.Convolutional(8, 5).eval(), x))
    return Made(live, x, lambda: live(x))


@model("TorchScript: frozen")
def frozen_script() -> Made:
    live = quietly(lambda: torch.jit.freeze(torch.jit.script(nets_plain.Perceptron(4, 8, 2).eval())))
    x = torch.randn(5, 4)
    return Made(live, x, lambda: live(x))


@model("TorchScript: linear layers with int8 weights")
def scripted_quantized() -> Made:
    from torch.ao import quantization

    def make() -> Any:
        net = quantization.quantize_dynamic(
            nets_plain.Perceptron(16, 32, 4).eval(), {nn.Linear}, dtype=torch.qint8
        )
        return torch.jit.script(net)

    live = quietly(make)
    x = torch.randn(6, 16)
    return Made(live, x, lambda: live(x))


@model("TorchScript: a file")
def script_file() -> Made:
    x = torch.randn(5, 4)
    live = quietly(lambda: torch.jit.trace(nets_plain.Perceptron(4, 8, 2).eval(), x))
    return Made(file(".pt", lambda path: torch.jit.save(live, path)), x, lambda: live(x))


@wrong("TorchScript: in training mode, with dropout", "training mode")
def script_in_training() -> Made:
    live = quietly(lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5)).train()))
    x = torch.randn(5, 4)
    return Made(live, x, lambda: live(x))


# --- layers, and weights in a file of their own -------------------------------------------------


@model("layers: convolutions, pools and norms in a Sequential")
def stacked_pictures() -> Made:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same", bias=False),
        nn.BatchNorm2d(8),
        nn.LeakyReLU(0.2),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Sequential(nn.ConvTranspose2d(8, 4, 2, stride=2), nn.GroupNorm(2, 4), nn.Hardswish()),
        nn.AdaptiveAvgPool2d((2, 2)),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    net(torch.randn(4, 3, 16, 16))
    net.eval()
    x = torch.randn(2, 3, 16, 16)
    return Made(net, x, lambda: net(x))


@model("layers: an LSTM of torch's own, nothing said of its arguments")
def library_lstm_alone() -> Made:
    net = nn.LSTM(4, 8, num_layers=2, bidirectional=True, proj_size=3).eval()
    x = torch.randn(5, 2, 4)
    return Made(net, x, lambda: net(x))


@wrong(
    "layers: a TransformerEncoder of torch's own, nothing said of its arguments", "nothing says", "arguments"
)
def library_encoder_alone() -> Made:
    net = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, batch_first=True), 2).eval()
    x = torch.randn(2, 5, 16)
    return Made(net, x, lambda: net(x))


@model("weights in a .safetensors file, and the name of their class")
def safetensors_file() -> Made:
    from safetensors.torch import save_model

    net = nets_plain.Tied(100, 32).eval()
    words = torch.randint(0, 100, (2, 9))
    path = file(".safetensors", lambda path: save_model(net, str(path)))
    options = {"model_class": "nets_plain:Tied", "init_args": {"words": 100, "width": 32}}
    return Made(path, words, lambda: net(words), options)


@wrong("weights in a .safetensors file, of another class", "loading state_dict", "Missing key")
def safetensors_of_another_class() -> Made:
    from safetensors.torch import save_model

    net = nets_plain.Perceptron(4, 8, 2).eval()
    x = torch.randn(5, 4)
    path = file(".safetensors", lambda path: save_model(net, str(path)))
    options = {"model_class": "nets_plain:Tied", "init_args": {"words": 4, "width": 8}}
    return Made(path, x, lambda: net(x), options)
