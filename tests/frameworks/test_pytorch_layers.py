"""Models of torch.nn's own layers need neither a class nor arguments; what can't be read is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.laws import examples
from support.local_sealing import modules_in
from support.roundtrip import Case, both_sides, save
from torch import nn

from timeproof.errors import NotArchivable
from timeproof.frameworks import SaveOptions, adapter_for_file
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.frameworks.pytorch.layers import construction_of
from timeproof.frameworks.pytorch.probe import load

ROWS = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)
IMAGES = np.linspace(-1, 1, 2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8)
STEPS = np.linspace(-1, 1, 2 * 7 * 4, dtype=np.float32).reshape(2, 7, 4)
PLAIN = SaveOptions(PyTorchOptions(onnx=False))


def dense() -> nn.Module:
    inner = nn.Sequential()
    inner.add_module("norm", nn.LayerNorm([8], eps=1e-3, bias=False))
    inner.add_module("bent", nn.GELU(approximate="tanh"))
    return nn.Sequential(nn.Linear(4, 8, bias=False), inner, nn.Dropout(0.9), nn.Linear(8, 2))


def pictures() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, (3, 1), stride=2, padding="valid", bias=False, padding_mode="zeros"),
        nn.BatchNorm2d(4, momentum=None),
        nn.LeakyReLU(0.3),
        nn.MaxPool2d([2, 2], ceil_mode=True),
        nn.ConvTranspose2d(4, 2, 2, output_padding=1, stride=2),
        nn.AdaptiveAvgPool2d((2, None)),
        nn.Flatten(),
    )


def test_models_of_torchs_own_layers_are_sealed_without_a_word_about_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    cases = {
        "dense": Case(dense().eval(), ROWS, PLAIN),
        "pictures": Case(pictures().eval(), IMAGES, PLAIN),
        "half": Case(dense().eval().double(), ROWS.astype(float), PLAIN),
        "one layer": Case(nn.Linear(4, 2), ROWS, PLAIN),
        "recurrent": Case(nn.GRU(4, 3, 2, batch_first=True, bidirectional=True), STEPS, PLAIN),
    }
    for name, both in both_sides(cases, tmp_path / "out").items():
        both.assert_identical()
        assert both.saved.options["source"] is None, name


def test_layers_of_ones_own_stand_among_them(tmp_path: Path) -> None:
    source = (
        "import torch\nclass Twice(torch.nn.Module):\n"
        "    def __init__(self, times):\n"
        "        super().__init__()\n        self.init_args = {'times': times}\n        self.times = times\n"
        "    def forward(self, x):\n        return x * self.times\n"
    )
    with modules_in(tmp_path) as write:
        twice = write(source).Twice(2)
        model = nn.Sequential(nn.Linear(4, 2), twice).eval()
        both = both_sides({"m": Case(model, ROWS, PLAIN)}, tmp_path / "out")["m"]
    both.assert_identical()
    assert both.saved.source_files == (f"source_pt_v1/{type(twice).__module__}.py",)


@pytest.mark.parametrize("what", ["no argument kept", "its own", "changed after"])
def test_layers_that_can_not_be_read_are_refused_by_their_place(tmp_path: Path, what: str) -> None:
    layer: nn.Module = nn.TransformerEncoderLayer(4, 2)
    if what == "its own":
        layer = type("Own", (nn.Module,), {"__init__": lambda self, n: nn.Module.__init__(self)})(3)
    if what == "changed after":
        layer = nn.Linear(4, 4)
        layer.in_features = 5
    model = nn.Sequential(nn.ReLU(), nn.Sequential(layer))
    with pytest.raises(NotArchivable) as caught:
        save(Case(model.eval(), ROWS, PLAIN), tmp_path / "m")
    assert "write a class of your own" in caught.value.advice
    if what != "changed after":
        assert "the model.1.0" in caught.value.message
    assert list((tmp_path / "m").iterdir()) == []


LAYERS = st.one_of(
    st.builds(nn.Linear, st.just(4), st.just(4), bias=st.booleans()),
    st.builds(nn.LayerNorm, st.just(4), eps=st.sampled_from([1e-5, 1e-2]), elementwise_affine=st.booleans()),
    st.builds(nn.Softmax, dim=st.sampled_from([0, 1, -1])),
    st.builds(nn.Dropout, st.sampled_from([0.1, 0.5])),
    st.builds(nn.Hardtanh, st.just(-0.5), st.sampled_from([0.25, 0.75])),
    st.builds(nn.BatchNorm1d, st.just(4), affine=st.booleans(), track_running_stats=st.booleans()),
    st.builds(nn.ELU, st.sampled_from([0.5, 2.0])),
)
STACKS = st.recursive(
    st.lists(LAYERS, max_size=4).map(lambda layers: nn.Sequential(*layers)),
    lambda below: st.lists(st.one_of(below, LAYERS), max_size=3).map(lambda layers: nn.Sequential(*layers)),
    max_leaves=3,
)


@given(STACKS)
@examples(40)
def test_what_is_described_is_built_again_the_same(stack: nn.Module) -> None:
    construction = construction_of(stack.eval(), PyTorchOptions(), [])
    again = load.build_layers(construction.layers)
    again.load_state_dict(stack.state_dict())
    rows = torch.from_numpy(ROWS[:4])
    assert repr(again) == repr(stack)
    assert torch.equal(again.eval()(rows), stack(rows))


# --- Lightning --------------------------------------------------------------------------------

LIGHTNING = importlib.util.find_spec("pytorch_lightning") is not None
FORECASTER = """
import pytorch_lightning
import torch

class Forecaster(pytorch_lightning.LightningModule):
    def __init__(self, inputs, hidden=8, extra=None):
        super().__init__()
        self.save_hyperparameters(ignore=IGNORED)
        self.net = torch.nn.Sequential(torch.nn.Linear(inputs, hidden), torch.nn.Linear(hidden, 1))

    def forward(self, x):
        return self.net(x)
"""


@pytest.mark.skipif(not LIGHTNING, reason="Lightning is not installed")
@pytest.mark.filterwarnings("ignore")
def test_what_lightning_keeps_of_the_arguments_is_taken(tmp_path: Path) -> None:
    with modules_in(tmp_path) as write:
        kind = write(FORECASTER.replace("IGNORED", "[]")).Forecaster
        model = kind(4, hidden=5).eval()
        model.hparams["hidden"] = 99  # changed afterwards: not what it was built with
        both = both_sides({"m": Case(model, ROWS, PLAIN)}, tmp_path / "out")["m"]
        both.assert_identical()
        assert both.saved.init_args == {"inputs": 4, "hidden": 5, "extra": None}
        another = write(FORECASTER.replace("IGNORED", "['inputs']")).Forecaster(4).eval()
        with pytest.raises(NotArchivable, match="nothing says which it was built with"):
            save(Case(another, ROWS, PLAIN), tmp_path / "m")


def test_a_checkpoint_of_lightnings_is_named(tmp_path: Path) -> None:
    torch.save(
        {"pytorch-lightning_version": "2.6.6", "state_dict": nn.Linear(2, 1).state_dict(), "epoch": 3},
        tmp_path / "last.ckpt",
    )
    with pytest.raises(NotArchivable, match="a checkpoint of Lightning's") as caught:
        adapter_for_file(tmp_path / "last.ckpt")
    assert "load_from_checkpoint" in caught.value.advice
