"""PyTorch: rebuilt from state and source in the probe, it answers as the live model does, bit for bit."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support.roundtrip import Both, Case, both_sides, save

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks import SaveOptions, adapter_named
from timeproof.frameworks.pytorch import PyTorchOptions

NETS = '''
"""Networks of many kinds, with helpers in other modules."""
from __future__ import annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING
import torch
from torch import nn
from . import blocks
from .deep.helper import scale as scaled
import tp_shared
if TYPE_CHECKING:
    import tp_not_there


class Cnn(nn.Module):
    def __init__(self, width=4, sizes=(3, 3)):
        super().__init__()
        self.conv = nn.Conv2d(1, width, tuple(sizes), padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(width * 64, 10)

    def forward(self, x):
        return self.head(self.drop(blocks.act(self.norm(self.conv(x)))).flatten(1))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(2, 2)

    def forward(self, left, right):
        return scaled(self.a(left) + self.b(right)), (left.sum(1), [right.argmax(1)])


class Named(nn.Module):
    def forward(self, x):
        from tp_lazily import factor
        return {"mean": x.mean(0), "twice": x * factor, "none": None, "truth": x > 0}


@dataclass
class Pair:
    first: torch.Tensor
    second: torch.Tensor


class Struct(nn.Module):
    def forward(self, x):
        return Pair(x + 1, x - 1)


class Brief(nn.Module):
    def forward(self, x):
        return x.to(torch.bfloat16), x.to(torch.float16), x.to(torch.complex64), x.to(torch.float8_e5m2)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens):
        return self.out(self.embed(tokens))


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn(x.shape)


class Branch(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x * 3


class Keeps(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.init_args = {"width": width}
        self.lin = nn.Linear(width, 1)

    def forward(self, x):
        return self.lin(x)

    class Inner(nn.Module):
        def forward(self, x):
            return -x * tp_shared.ONE


class Sorts(nn.Module):
    """The tracing exporter has no operator for this."""
    def forward(self, x):
        return torch.linalg.qr(x)[0]


class Extra(nn.Module):
    def get_extra_state(self):
        return {"f": print}


if __name__ == "__main__":
    import tp_main_only
'''


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A package of modules on disk, importable while these tests run."""
    root = tmp_path_factory.mktemp("project")
    package = root / "tp_models"
    (package / "vision" / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "vision" / "__init__.py").write_text("from tp_models.config import WIDTH\n")
    (package / "config.py").write_text("WIDTH = 4\n")
    (package / "unused.py").write_text("raise RuntimeError\n")
    (package / "vision" / "nets.py").write_text(NETS)
    (package / "vision" / "blocks.py").write_text("import torch\ndef act(x):\n    return torch.relu(x)\n")
    # A folder without __init__.py: a namespace package.
    (package / "vision" / "deep" / "helper.py").write_text(
        "from ...config import WIDTH\ndef scale(x): return x * WIDTH\n"
    )
    (root / "tp_shared.py").write_text("ONE = 1\n")
    (root / "tp_lazily.py").write_text("factor = 2\n")
    (root / "tp_main_only.py").write_text("")
    (root / "tp_not_there.py").write_text("")
    sys.path.insert(0, str(root))
    yield importlib.import_module("tp_models.vision.nets")
    sys.path.remove(str(root))
    for name in [name for name in sys.modules if name.startswith("tp_")]:
        del sys.modules[name]


IMAGES = np.random.default_rng(1).normal(size=(5, 1, 8, 8)).astype(np.float32)
ROWS = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def runs(nets: object, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    torch.manual_seed(3)
    torch.set_num_threads(1)
    cnn = nets.Cnn(6, (3, 3)).eval()  # type: ignore[attr-defined]
    cnn(torch.from_numpy(IMAGES))  # BatchNorm gets statistics
    optimizer = torch.optim.Adam(cnn.parameters())
    optimizer.step()
    trained = SaveOptions(
        PyTorchOptions(init_args={"width": 6, "sizes": (3, 3)}, optimizer=optimizer, epoch=7),
        timestamp="2026-01-02T03:04:05Z",
    )
    get = lambda name: getattr(nets, name)  # noqa: E731
    cases = {
        "cnn": Case(cnn, IMAGES, trained),
        "two": Case(get("Two")(), {"left": ROWS, "right": ROWS[:, :2]}),
        "named": Case(get("Named")(), ROWS),
        "struct": Case(get("Struct")(), ROWS),
        "brief": Case(get("Brief")(), ROWS),
        "tied": Case(get("Tied")(), np.array([[1, 2], [3, 6]])),
        "keeps": Case(get("Keeps")(3), ROWS),
        "inner": Case(get("Keeps").Inner(), ROWS.astype(">f8")),
        "branch": Case(get("Branch")(), np.abs(ROWS)),
        "sorts": Case(get("Sorts")(), np.eye(3, dtype=np.float32)),
        "library": Case(
            torch.nn.Linear(3, 2),
            ROWS,
            SaveOptions(PyTorchOptions(init_args={"in_features": 3, "out_features": 2})),
        ),
        "no onnx": Case(get("Keeps")(3), ROWS, SaveOptions(PyTorchOptions(onnx=False))),
    }
    return both_sides(cases, tmp_path_factory.mktemp("torch"))


@pytest.mark.parametrize(
    "name",
    [
        "cnn",
        "two",
        "named",
        "struct",
        "brief",
        "tied",
        "keeps",
        "inner",
        "branch",
        "sorts",
        "library",
        "no onnx",
    ],
)
def test_the_probe_answers_as_the_live_model(runs: dict[str, Both], name: str) -> None:
    runs[name].assert_identical()


def test_outputs_are_named_by_their_place(runs: dict[str, Both]) -> None:
    assert list(runs["cnn"].expected) == ["output"]
    assert list(runs["two"].expected) == ["output_0", "output_1_0", "output_1_1_0"]
    assert list(runs["named"].expected) == ["mean", "twice", "truth"]
    assert list(runs["struct"].expected) == ["first", "second"]


def test_types_that_numpy_lacks_become_float32_and_say_so(runs: dict[str, Both]) -> None:
    told = [header.get("from") for header in runs["brief"].headers if header["kind"] == "output"]
    assert told[:4] == ["bfloat16", None, None, "float8_e5m2"]
    assert [array.dtype.name for array in runs["brief"].expected.values()] == [
        "float32",
        "float16",
        "complex64",
        "float32",
    ]


def test_the_state_holds_what_was_promised_and_loads_with_weights_only(runs: dict[str, Both]) -> None:
    both = runs["cnn"]
    state = torch.load(both.folder / "model_pt_v1.pth", weights_only=True)
    assert set(state) == {"model_state", "epoch", "optimizer_state", "meta"}
    assert state["epoch"] == 7
    assert state["optimizer_state"]["param_groups"][0]["lr"] == 0.001
    assert state["meta"] == {
        "torch_version": torch.__version__,
        "model_class": "tp_models.vision.nets.Cnn",
        "init_args": {"width": 6, "sizes": [3, 3]},
        "timestamp": "2026-01-02T03:04:05Z",
    }
    assert any("tuple" in note for note in both.saved.notes)


def test_the_class_and_the_local_modules_it_needs_are_copied(runs: dict[str, Both]) -> None:
    assert [path.removeprefix("source_pt_v1/") for path in runs["cnn"].saved.source_files] == [
        "tp_lazily.py",
        "tp_models/__init__.py",
        "tp_models/config.py",
        "tp_models/vision/__init__.py",
        "tp_models/vision/blocks.py",
        "tp_models/vision/deep/helper.py",
        "tp_models/vision/nets.py",
        "tp_shared.py",
    ]


def test_a_library_class_is_recorded_without_source(runs: dict[str, Both]) -> None:
    saved = runs["library"].saved
    assert saved.source_files == ()
    assert saved.options["source"] is None
    assert saved.class_module == "torch.nn.modules.linear"
    assert any("no source is copied" in note for note in saved.notes)


def test_the_onnx_copy_is_near_and_says_what_it_is(runs: dict[str, Both]) -> None:
    both = runs["cnn"]
    (copy,) = both.saved.copies
    assert copy.model == "model_pt_v1.onnx"
    assert copy.facts["inputs"] == [{"name": "input", "dims": ["batch", 1, 8, 8]}]
    assert copy.facts["outputs"] == [{"name": "output", "dims": ["batch", 10]}]
    assert copy.facts["dynamic_batch"] is True
    assert isinstance(copy.facts["opset"], int)
    assert copy.facts["exporter"] in {"torchscript", "dynamo"}
    assert both.result["copies"]["onnx"]["status"] == "ok"
    np.testing.assert_allclose(both.outputs["onnx"]["output"], both.expected["output"], rtol=1e-4, atol=1e-5)


def test_several_inputs_and_outputs_reach_the_onnx_copy(runs: dict[str, Both]) -> None:
    both = runs["two"]
    assert [item["name"] for item in both.saved.copies[0].facts["inputs"]] == ["left", "right"]
    assert set(both.outputs["onnx"]) == set(both.expected)
    for name, array in both.expected.items():
        np.testing.assert_allclose(both.outputs["onnx"][name], array, rtol=1e-4, atol=1e-5)


def test_an_onnx_copy_that_followed_one_branch_says_so(runs: dict[str, Both]) -> None:
    assert any("only the way that these inputs took" in note for note in runs["branch"].saved.notes)


def test_without_an_exporter_for_it_the_model_is_archived_all_the_same(runs: dict[str, Both]) -> None:
    assert runs["sorts"].saved.copies == ()
    assert any("there is no ONNX copy" in note for note in runs["sorts"].saved.notes)
    assert runs["no onnx"].saved.copies == ()
    assert runs["no onnx"].saved.notes == ()


def test_drawing_random_numbers_gives_the_same_ones_each_time(nets: object, tmp_path: Path) -> None:
    case = Case(nets.Noisy(), ROWS, SaveOptions(PyTorchOptions(onnx=False)))  # type: ignore[attr-defined]
    first, second = (both_sides({"n": case}, tmp_path / part)["n"] for part in ("one", "two"))
    assert first.outputs["native"]["output"].tobytes() == second.outputs["native"]["output"].tobytes()
    assert np.abs(first.outputs["native"]["output"] - ROWS).max() > 0


def test_saving_leaves_the_model_and_the_terminal_as_they_were(
    nets: object, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = nets.Cnn().train()  # type: ignore[attr-defined]
    model.norm.eval()
    model.drop.p = 0.0  # else it would answer otherwise than in evaluation mode
    before = {name: item.clone() for name, item in model.state_dict().items()}
    save(Case(model, IMAGES, SaveOptions(PyTorchOptions(init_args={}))), tmp_path / "m")
    assert {name: module.training for name, module in model.named_modules()} == {
        "": True,
        "conv": True,
        "norm": False,
        "drop": True,
        "head": True,
    }
    for name, item in model.state_dict().items():
        assert torch.equal(item, before[name])
    assert capfd.readouterr() == ("", "")


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init_args", "words"),
    [
        (None, "takes arguments .width, sizes., and nothing says"),
        ({"wide": 3}, "don't fit"),
        ({"width": torch.nn.ReLU()}, r"init_args\['width'\] is a torch"),
        ({"width": float("nan")}, "nan"),
    ],
)
def test_a_class_that_can_not_be_rebuilt_is_refused(
    nets: object, tmp_path: Path, init_args: object, words: str
) -> None:
    with pytest.raises(NotArchivable, match=words) as caught:
        save(Case(nets.Cnn(), IMAGES, SaveOptions(PyTorchOptions(init_args=init_args))), tmp_path / "m")  # type: ignore[attr-defined, arg-type]
    assert caught.value.advice
    assert list((tmp_path / "m").iterdir()) == []


def made(nets: object, what: str) -> object:
    keeps = nets.Keeps(3)  # type: ignore[attr-defined]
    if what == "compiled":
        return torch.compile(keeps)
    if what == "parallel":
        return torch.nn.DataParallel(keeps)
    if what == "in a function":

        class Local(torch.nn.Module):
            pass

        return Local()
    if what == "dynamic":
        return type("Made", (torch.nn.Module,), {"__module__": "tp_nowhere"})()
    if what == "not its name":
        return type("Absent", (torch.nn.Module,), {"__module__": nets.__name__})()  # type: ignore[attr-defined]
    if what == "meta":
        return torch.nn.Linear(3, 1, device="meta")
    if what == "lazy":
        return torch.nn.LazyLinear(2)
    if what == "extra":
        return nets.Extra()  # type: ignore[attr-defined]
    raise AssertionError(what)


@pytest.mark.filterwarnings("ignore:`torch.jit.script")
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("compiled", "torch.compile"),
        ("parallel", "DataParallel"),
        ("in a function", "inside a function"),
        ("dynamic", "made at run time"),
        ("not its name", "not what its module holds"),
        ("meta", "meta device"),
        ("lazy", "no values yet"),
        ("extra", "can't be loaded without running code"),
    ],
)
def test_models_that_no_state_can_bring_back_are_refused(
    nets: object, tmp_path: Path, what: str, words: str
) -> None:
    model = made(nets, what)
    shape = (
        {"in_features": 3, "out_features": 1}
        if what == "meta"
        else {"out_features": 2}
        if what == "lazy"
        else None
    )
    options = SaveOptions(PyTorchOptions(init_args=shape))
    with pytest.raises(NotArchivable, match=words) as caught:
        save(Case(model, ROWS, options), tmp_path / "m")
    assert caught.value.advice


def test_inputs_that_the_model_does_not_take_are_refused(nets: object, tmp_path: Path) -> None:
    with pytest.raises(NotArchivable, match="can't answer these inputs: RuntimeError") as caught:
        save(Case(nets.Keeps(3), ROWS[:, :2]), tmp_path / "m")  # type: ignore[attr-defined]
    assert "trained on" in caught.value.advice


def test_text_is_no_tensor(nets: object, tmp_path: Path) -> None:
    with pytest.raises(NotArchivable, match="can't become a tensor"):
        save(Case(nets.Keeps(3), np.array(["a"]), SaveOptions(PyTorchOptions(onnx=False))), tmp_path / "m")  # type: ignore[attr-defined]


def test_other_formats_are_a_bad_request(nets: object, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="'onnx'"):
        save(Case(nets.Keeps(3), ROWS, SaveOptions(PyTorchOptions(format="onnx"))), tmp_path / "m")  # type: ignore[attr-defined]


def test_a_state_file_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotArchivable, match="without their class") as caught:
        adapter_named("pytorch").save_file(tmp_path / "m.pth", {"x": ROWS}, tmp_path, "pt_v1", SaveOptions())
    assert "archive that live object" in caught.value.advice
