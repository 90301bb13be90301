"""How a network is asked: by name in any order, by position, by keyword alone, with defaults."""

from __future__ import annotations

import nets_calls
import torch
from torch import nn
from zoo_case import Made, model, wrong


def named(net: nn.Module, inputs: dict[str, torch.Tensor], **init_args: object) -> Made:
    """The user asks by name."""
    net.eval()
    return Made(net, inputs, lambda: net(**inputs), {"init_args": init_args})


def columns() -> dict[str, torch.Tensor]:
    return {"qty": torch.rand(11) * 40, "price": torch.rand(11) * 9}


@model("names in another order than forward's", quick=True)
def names_reordered() -> Made:
    return named(nets_calls.Priced(4), columns(), width=4)


@model("names in forward's order")
def names_in_order() -> Made:
    return named(nets_calls.Priced(4), dict(reversed(columns().items())), width=4)


@model("keyword-only arguments", quick=True)
def keywords_only() -> Made:
    return named(nets_calls.KeywordOnly(4), columns(), width=4)


@model("forward(**columns)")
def any_keywords() -> Made:
    return named(nets_calls.AnyKeywords(4), columns(), width=4)


@model("forward(*parts)")
def any_positions() -> Made:
    net = nets_calls.AnyPositions().eval()
    parts = tuple(torch.randn(5, 2) for _ in range(3))
    return Made(net, parts, lambda: net(*parts))


@model("two by position")
def by_position() -> Made:
    net = nets_calls.Priced(4).eval()
    inputs = tuple(reversed(columns().values()))
    return Made(net, inputs, lambda: net(*inputs), {"init_args": {"width": 4}})


@model("a default is left out in the middle")
def default_in_the_middle() -> Made:
    return named(nets_calls.Masked(6), {"x": torch.randn(3, 6), "bias": torch.randn(6)}, width=6)


@model("defaults are left out at the end")
def defaults_at_the_end() -> Made:
    return named(nets_calls.Masked(6), {"x": torch.randn(3, 6)}, width=6)


@model("booleans and half a batch's mask, mask first")
def mask_first() -> Made:
    mask = torch.rand(3, 6) > 0.5
    return named(nets_calls.Masked(6), {"mask": mask, "x": torch.randn(3, 6)}, width=6)


@wrong("names that forward hasn't", "tokens", "unexpected", "signature")
def names_unknown() -> Made:
    net = nets_calls.Priced(4).eval()
    inputs = {"price": torch.rand(5), "tokens": torch.rand(5)}
    return Made(net, inputs, lambda: net(inputs["price"], inputs["tokens"]), {"init_args": {"width": 4}})


@model("a dictionary of tuples for an answer")
def nested_answer() -> Made:
    net = nets_calls.Nested(4).eval()
    x = torch.randn(6, 4)
    return Made(net, x, lambda: net(x), {"init_args": {"width": 4}})


@model("one dictionary as forward's only argument", refused="")
def dictionary_argument() -> Made:
    net = nets_calls.Bundled(4).eval()
    batch = {"x": torch.randn(6, 4), "scale": torch.rand(6, 1)}
    return Made(net, batch, lambda: net(batch), {"init_args": {"width": 4}})


@model("a plain number among the inputs", refused="")
def number_argument() -> Made:
    net = nets_calls.Scaled(4).eval()
    x = torch.randn(6, 4)
    inputs = {"x": x, "temperature": 2.5}
    return Made(net, inputs, lambda: net(x, temperature=2.5), {"init_args": {"width": 4}})


@model("NumPy's arrays, strided and in Fortran order")
def strided_arrays() -> Made:
    net = nets_calls.Masked(6).eval()
    x = torch.randn(6, 8).numpy().T[:6].copy(order="F")[:, ::1]
    inputs = {"x": x}
    return Made(net, inputs, lambda: net(torch.from_numpy(x.copy())), {"init_args": {"width": 6}})
