"""Networks of one's own, Lightning's modules, and PyTorch's own layers."""

from __future__ import annotations

import nets_lightning
import nets_plain
import torch
from torch import nn
from zoo_case import Made, model, wrong


def asked(net: nn.Module, *inputs: torch.Tensor, **init_args: object) -> Made:
    """The user asks by position."""
    net.eval()
    given = inputs[0] if len(inputs) == 1 else inputs
    return Made(net, given, lambda: net(*inputs), {"init_args": init_args})


@model("convolutions, batch and group norms, dropout")
def convolutional() -> Made:
    net = nets_plain.Convolutional(8, 5)
    net(torch.randn(4, 3, 32, 32))
    return asked(net, torch.randn(4, 3, 32, 32), channels=8, classes=5)


@model("two-layer LSTM, both directions; its state in the answer")
def lstm() -> Made:
    return asked(nets_plain.Recurrent("LSTM", 5, 16), torch.randn(3, 20, 5), kind="LSTM", inputs=5, hidden=16)


@model("two-layer GRU")
def gru() -> Made:
    return asked(nets_plain.Recurrent("GRU", 5, 16), torch.randn(3, 20, 5), kind="GRU", inputs=5, hidden=16)


@model("short-time Fourier transform, mel bands, convolution")
def spectrogram() -> Made:
    return asked(nets_plain.Spectrogram(), torch.randn(2, 4000))


@model("scaled dot products, causal")
def attention() -> Made:
    return asked(nets_plain.Attention(64, 4), torch.randn(2, 10, 64), width=64, heads=4)


@model("tied weights: the head is the embedding")
def tied_weights() -> Made:
    return asked(nets_plain.Tied(100, 32), torch.randint(0, 100, (2, 9)), words=100, width=32)


@model("lazy layers, after their first batch")
def lazy_layers() -> Made:
    net = nets_plain.Lazy(4)
    x = torch.randn(2, 3, 8, 8)
    net(x)
    return asked(net, x, classes=4)


@model("weight norm and spectral norm")
def parametrizations() -> Made:
    net = nets_plain.Normed(16)
    for _ in range(3):
        net(torch.randn(4, 16))
    return asked(net, torch.randn(4, 16), width=16)


@model("bags of words: whole numbers in, a table and classes out")
def embedding_bags() -> Made:
    return asked(
        nets_plain.Bags(50, 8), torch.randint(0, 50, (20,)), torch.tensor([0, 4, 9, 15]), words=50, width=8
    )


@model("positions in a buffer that is not persistent")
def computed_buffer() -> Made:
    return asked(nets_plain.Sampler(10, 32), torch.randn(2, 10, 32), steps=10, width=32)


@model("a dataclass for an answer")
def dataclass_answer() -> Made:
    return asked(nets_plain.Estimator(6), torch.randn(7, 6), inputs=6)


@model("experts chosen by the data")
def experts() -> Made:
    return asked(nets_plain.Experts(16, 4), torch.randn(32, 16), width=16, experts=4)


@model("messages along a graph's edges")
def graph_messages() -> Made:
    return asked(nets_plain.Graph(8), torch.randn(12, 8), torch.randint(0, 12, (2, 40)), width=8)


@model("Lightning module, init_args=dict(model.hparams)")
def lightning_module() -> Made:
    net = nets_lightning.Forecaster(inputs=6, hidden=24, rate=1e-3).eval()
    x = torch.randn(9, 6)
    return Made(net, x, lambda: net(x), {"init_args": dict(net.hparams)})


@model("Lightning module, nothing said of its arguments: it keeps them")
def lightning_alone() -> Made:
    net = nets_lightning.Forecaster(inputs=6, hidden=24, rate=1e-3).eval()
    x = torch.randn(9, 6)
    return Made(net, x, lambda: net(x))


@wrong("Lightning module that does not keep one of its arguments", "nothing says")
def lightning_ignoring() -> Made:
    net = nets_lightning.Forgetful(inputs=6).eval()
    x = torch.randn(9, 6)
    return Made(net, x, lambda: net(x))


@wrong("Lightning's checkpoint", "checkpoint of Lightning's")
def lightning_checkpoint() -> Made:
    net, path = nets_lightning.checkpoint()
    x = torch.randn(9, 6)
    return Made(path, x, lambda: net(x))


@model("Lightning module, trained by its Trainer")
def lightning_trained() -> Made:
    net = nets_lightning.trained()
    x = torch.randn(9, 6)
    net.eval()
    return Made(net, x, lambda: net(x), {"init_args": dict(net.hparams)})


@model("torch.nn.LSTM itself")
def library_lstm() -> Made:
    return asked(
        nn.LSTM(4, 8, batch_first=True), torch.randn(2, 5, 4), input_size=4, hidden_size=8, batch_first=True
    )


@model("torch.nn.Transformer itself, two inputs")
def library_transformer() -> Made:
    args = {
        "d_model": 32,
        "nhead": 4,
        "num_encoder_layers": 1,
        "num_decoder_layers": 1,
        "dim_feedforward": 64,
    }
    return asked(nn.Transformer(**args), torch.randn(5, 2, 32), torch.randn(3, 2, 32), **args)


@model("torch.nn.Sequential itself")
def library_sequential() -> Made:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    x = torch.randn(5, 4)
    return Made(net, x, lambda: net(x))


@model("TorchScript")
def torchscript() -> Made:
    net = torch.jit.script(nets_plain.Perceptron(4, 8, 2)).eval()
    x = torch.randn(5, 4)
    return Made(net, x, lambda: net(x))


@wrong("torch.compile's wrapper", "compile")
def compiled() -> Made:
    net = torch.compile(nets_plain.Perceptron(4, 8, 2).eval(), backend="eager")
    x = torch.randn(5, 4)
    return Made(net, x, lambda: net(x), {"init_args": {"inputs": 4, "hidden": 8, "classes": 2}})
