"""What a user says of a model, in the record of its framework."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import timeproof
from timeproof.errors import BadRequest
from timeproof.frameworks.onnx import OnnxOptions
from timeproof.frameworks.options import FrameworkOptions, options_of
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.frameworks.registry import specs

ROWS = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize("kind", [spec.options for spec in specs()], ids=lambda kind: kind.__name__)
def test_what_every_framework_can_be_told_becomes_its_own_record(kind: type[FrameworkOptions]) -> None:
    options = options_of(kind, FrameworkOptions(graph_optimization="all"))
    assert type(options) is kind
    assert options.graph_optimization == "all"
    assert options_of(kind, options) is options


def test_options_of_another_framework_are_refused_with_the_right_name() -> None:
    with pytest.raises(BadRequest, match="are OnnxOptions") as caught:
        options_of(PyTorchOptions, OnnxOptions())
    assert "options=PyTorchOptions(…), from timeproof.frameworks.pytorch" in caught.value.advice


def test_a_value_of_another_type_is_named() -> None:
    with pytest.raises(BadRequest, match=r"PyTorchOptions: epoch: .*integer"):
        PyTorchOptions(epoch="seven")  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="init_args") as caught:
        PyTorchOptions(init_args=[4])  # type: ignore[arg-type]
    assert "it takes format, graph_optimization, init_args" in caught.value.advice
    with pytest.raises(BadRequest, match="momentum"):
        PyTorchOptions(momentum=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("keyword", "spelling"),
    [
        ("init_args", r"options=PyTorchOptions\(init_args=…\), from timeproof.frameworks.pytorch$"),
        ("onnx", r"options=PyTorchOptions\(onnx=…\)"),
        ("format", r"options=PyTorchOptions\(format=…\)"),
        ("momentum", r"unexpected keyword argument 'momentum'$"),
    ],
)
def test_archive_says_how_a_keyword_of_one_framework_is_given(keyword: str, spelling: str) -> None:
    with pytest.raises(TypeError, match=spelling):
        timeproof.archive(torch.nn.Linear(3, 1), ROWS, grid_size=8, **{keyword: None})
