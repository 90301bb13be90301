"""What sealing finds out about real models, with the real probe: chance, and copies that are far off."""

from __future__ import annotations

import importlib
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pytest
import xgboost
from onnx import TensorProto, helper, numpy_helper
from support.local_sealing import with_onnxruntime

from timeproof.errors import BadRequest, NotArchivable, SealFailed
from timeproof.frameworks import SaveOptions
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.store.layout import Archive
from timeproof.store.verify import verify
from timeproof.testing.archives import seal

ROWS = np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32)
WIDE = ROWS.astype(np.float64)
REAL = ROWS[:, 0] * 3 + ROWS[:, 1]
CLASSES = (REAL > 0).astype(np.int64)
_COUNT = itertools.count()


def untouched(archive: Archive) -> bool:
    report = verify(archive)
    return report.ok and not report.leftovers and "grid-size-8/pytorch/v1" not in map(str, archive.refs())


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Write a module with a torch class whose forward has this body, and make one."""
    sys.path.insert(0, str(tmp_path))
    made = []

    def write(forward: str, body: str = "") -> Any:
        name = f"traps_net_{next(_COUNT)}"
        (tmp_path / f"{name}.py").write_text(
            "import numpy as np\nimport torch\nimport torch.nn.functional as F\n"
            f"{body}\n"
            "class Net(torch.nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.lin = torch.nn.Linear(6, 3)\n"
            "        self.drop = torch.nn.Dropout(0.5)\n"
            "    def forward(self, x):\n"
            f"        {forward}\n"
        )
        importlib.invalidate_caches()
        made.append(name)
        return importlib.import_module(name).Net()

    yield write
    sys.path.remove(str(tmp_path))
    for name in made:
        del sys.modules[name]


NO_COPY = SaveOptions(PyTorchOptions(onnx=False))


# --- chance ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forward", "cause"),
    [
        ("return F.dropout(self.lin(x), 0.5)", r"F\.dropout\(self\.lin"),
        ("return self.lin(x + torch.randn(x.shape) * 1e-3)", r"torch\.randn\("),
        ("return self.lin(x + torch.from_numpy(np.random.normal(size=x.shape)).float())", r"np\.random"),
    ],
    ids=["dropout left on", "torch's noise", "NumPy's noise"],
)
def test_a_model_whose_answer_depends_on_the_seed_is_refused_though_one_seed_repeats_it(
    small: Archive, net: Callable[[str], Any], forward: str, cause: str
) -> None:
    with pytest.raises(
        SealFailed, match=rf"two seeds give two answers.*probably traps_net_\d+\.py:\d+: .*{cause}"
    ) as caught:
        seal(small, net(forward), ROWS, options=NO_COPY)
    assert "--keep-random" in caught.value.advice
    assert "dropout" in caught.value.advice
    assert untouched(small)


def test_it_is_kept_on_request_with_one_seeds_answer_and_marked(
    small: Archive, net: Callable[[str], Any]
) -> None:
    done = seal(small, net("return F.dropout(self.lin(x), 0.5)"), ROWS, options=NO_COPY, keep_random=True)
    assert done.metadata.kept == ["random"]
    assert done.metadata.witnesses == [], "in float64 it would draw other numbers"


def test_dropout_that_eval_switches_off_is_no_chance(small: Archive, net: Callable[[str], Any]) -> None:
    model = net("return self.drop(self.lin(x))").eval()
    done = seal(small, model, ROWS, options=NO_COPY, keep_random=True)
    assert done.metadata.kept == [], "nothing is marked that needs no mark"


def test_chance_that_no_seed_governs_is_refused_whatever_is_asked(
    small: Archive, net: Callable[[str], Any]
) -> None:
    forward = "return self.lin(x) + float(np.random.default_rng().normal())"
    with pytest.raises(SealFailed, match=r"no seed makes them alike.*default_rng\(\)"):
        seal(small, net(forward), ROWS, options=NO_COPY, keep_random=True)
    assert untouched(small)


def drawing(kind: str, **more: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], ["r"], **more), helper.make_node("Add", ["x", "r"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 6])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("kind", ["RandomNormalLike", "RandomUniformLike"])
def test_random_operators_of_a_graph_are_named(small: Archive, kind: str) -> None:
    with pytest.raises(SealFailed, match=f"probably the operator {kind}"):
        seal(small, drawing(kind), ROWS)
    assert seal(small, drawing(kind), ROWS, keep_random=True).metadata.kept == ["random"]


def test_a_data_file_beside_the_source_is_missed_with_advice(
    small: Archive, net: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "scale.npy").write_bytes(b"")
    np.save(tmp_path / "scale.npy", np.ones(6, np.float32))
    body = "import pathlib\nHERE = pathlib.Path(__file__).parent\nSCALE = np.load(HERE / 'scale.npy')"
    with pytest.raises(SealFailed, match=r"scale\.npy") as caught:
        seal(small, net("return self.lin(x * torch.from_numpy(SCALE))", body), ROWS, options=NO_COPY)
    assert "data files beside the source are not archived" in caught.value.advice
    assert "register_buffer" in caught.value.advice


def test_a_module_that_is_imported_by_a_computed_name_is_missed_with_advice(
    small: Archive, net: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "traps_helper.py").write_text("FACTOR = 2\n")
    body = "import importlib\nHELPER = importlib.import_module('traps_' + 'helper')"
    with pytest.raises(SealFailed, match="traps_helper") as caught:
        seal(small, net("return self.lin(x) * HELPER.FACTOR", body), ROWS, options=NO_COPY)
    assert "import statement names it" in caught.value.advice
    del sys.modules["traps_helper"]


# --- copies ---------------------------------------------------------------------------------


def converted(model: Any) -> onnx.ModelProto:
    """What people make of a tree model for other runtimes."""
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    convert = convert_xgboost if type(model).__module__.startswith("xgboost") else convert_lightgbm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own
        return convert(model, initial_types=[("rows", FloatTensorType([None, 6]))], target_opset=15)


LGB = {"n_estimators": 4, "n_jobs": 1, "verbose": -1, "min_child_samples": 3}


@pytest.mark.parametrize(
    ("model", "target", "compared"),
    [
        (xgboost.XGBClassifier(n_estimators=4, n_jobs=1), CLASSES, {"predict_proba": "probabilities"}),
        (lightgbm.LGBMClassifier(**LGB), CLASSES, {"predict_proba": "probabilities"}),
        (lightgbm.LGBMRegressor(**LGB), REAL, {"predict": "variable"}),
    ],
    ids=["xgboost", "zipmap", "regressor"],
)
def test_the_distance_of_somebodys_conversion_is_measured_and_recorded(
    small: Archive, tmp_path: Path, model: Any, target: np.ndarray, compared: dict[str, str]
) -> None:
    model.fit(ROWS, target)
    path = tmp_path / "converted.onnx"
    path.write_bytes(converted(model).SerializeToString())
    done = seal(small, model, ROWS, copies={"onnx": path})
    (copy,) = done.metadata.copies
    assert copy.distance.verdict in {"identical", "rounding"}
    assert copy.distance.compared == compared
    assert copy.file.endswith(".onnx")
    assert (done.path.parent / copy.file).read_bytes() == path.read_bytes()
    assert next(f.role for f in done.metadata.files if f.path == copy.file) == "interchange"
    assert done.metadata.kept == []
    assert verify(small).ok


def test_a_copy_of_linear_trees_is_refused_for_it_is_wrong_in_every_row(small: Archive) -> None:
    model = lightgbm.LGBMRegressor(**LGB, linear_tree=True).fit(WIDE, REAL)
    given = {"onnx": converted(model)}
    with pytest.raises(NotArchivable, match="every row of the copy is wrong") as caught:
        seal(small, model, WIDE, copies=given)
    assert "--keep-inexact" in caught.value.advice
    done = seal(small, model, WIDE, copies=given, keep_inexact=True)
    assert done.metadata.kept == ["inexact"]
    assert done.metadata.copies[0].distance.verdict == "broken"
    rows = done.metadata.copies[0].distance.outputs["predict"]
    assert rows.rows_off == rows.rows, "every row"


def test_a_copy_of_another_model_is_refused_with_its_distance_and_both_ways_out(small: Archive) -> None:
    model = lightgbm.LGBMRegressor(**LGB).fit(ROWS, REAL)
    other = lightgbm.LGBMRegressor(**LGB).fit(ROWS, -REAL)
    with pytest.raises(SealFailed, match=r"further than rounding .*onnx: broken: .*sULP") as caught:
        seal(small, model, ROWS, copies={"onnx": converted(other)})
    assert "--copy onnx=" in caught.value.advice
    assert "--keep-inexact" in caught.value.advice
    assert untouched(small)


def test_our_own_copy_that_is_far_off_is_left_out_with_a_note_or_kept_on_request(
    small: Archive, net: Callable[[str], Any]
) -> None:
    """The exporter freezes what the model does while it is traced; nobody asked for that copy."""
    model = net("return self.lin(x) + float(torch.jit.is_tracing())")
    there = with_onnxruntime(small)
    done = seal(small, model, ROWS, environment=there)
    assert done.metadata.copies == []
    assert [f.path for f in done.metadata.files if f.role == "interchange"] == []
    assert any("no onnx copy: it is further than rounding" in note for note in done.metadata.notes)
    assert done.metadata.kept == []
    kept = seal(small, model, ROWS, environment=there, keep_inexact=True)
    assert kept.metadata.kept == ["inexact"]
    assert kept.metadata.copies[0].distance.verdict == "broken"
    assert verify(small).ok


@pytest.mark.parametrize(
    ("copies", "words"),
    [({"gguf": Path("x")}, "can't have a copy called 'gguf'"), ({"onnx": Path("model.txt")}, "no ONNX file")],
)
def test_other_copies_are_a_bad_request(small: Archive, copies: dict[str, object], words: str) -> None:
    model = lightgbm.LGBMRegressor(**LGB).fit(ROWS, REAL)
    with pytest.raises(BadRequest, match=words):
        seal(small, model, ROWS, copies=copies)


def test_a_copy_that_takes_other_inputs_is_refused(small: Archive) -> None:
    x = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 6]) for name in ("a", "b")]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 6])
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", x, [y])
    model = lightgbm.LGBMRegressor(**LGB).fit(ROWS, REAL)
    with pytest.raises(NotArchivable, match="takes 2 inputs"):
        seal(small, model, ROWS, copies={"onnx": helper.make_model(graph, ir_version=8)})


def test_int8_that_is_kept_is_marked_in_the_metadata(small: Archive) -> None:
    weights = np.full((6, 2), 127, np.int8)
    graph = helper.make_graph(
        [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            helper.make_node("MatMulInteger", ["q", "w", "z"], ["m"]),
            helper.make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(NotArchivable, match="beyond ±64"):
        seal(small, model, ROWS)
    done = seal(small, model, ROWS, options=SaveOptions(keep_saturating=True))
    assert done.metadata.kept == ["saturating"]


QUANTISED = """
import torch
from torch.ao.nn.quantized.dynamic import Linear


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = Linear(6, 3)

    def forward(self, x):
        return self.lin(x)
"""


@pytest.mark.filterwarnings("ignore")
def test_quantised_modules_are_refused_where_no_profile_holds_their_kernels(
    small: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "traps_quantised.py").write_text(QUANTISED)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = importlib.import_module("traps_quantised").Small()
    with pytest.raises(NotArchivable, match=r"quantized modules \(Linear\).*native") as caught:
        seal(small, model, ROWS, options=NO_COPY, profile="native")
    assert "portable" in caught.value.advice
    done = seal(small, model, ROWS, options=NO_COPY)
    assert done.metadata.kept == []
    assert any("holds under portable" in note for note in done.metadata.notes)
    del sys.modules["traps_quantised"]
