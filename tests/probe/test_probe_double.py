"""The probe in float64: rounded once at the end, to the native types; refused where it computes in less."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import known_nets
import numpy as np
import onnx
import onnx.helper as make
import pytest
import torch
from onnx import TensorProto, numpy_helper

from timeproof.base.limits import LIMITS
from timeproof.testing.probing import artifact, run, run_raw, same, write_inputs

RNG = np.random.default_rng(5)
X = RNG.standard_normal((7, 300)).astype(np.float32)
W = RNG.standard_normal((300, 5)).astype(np.float32)
EXACT = (X.astype(np.float64) @ W.astype(np.float64)).astype(np.float32)


def module(folder: Path, name: str, forward: str, w: Any = W, **more: Any) -> dict[str, Any]:
    """A module whose parameter is `w`, and whose answer is `forward`."""
    home = folder / name
    (home / "source").mkdir(parents=True)
    (home / "source" / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        f"        self.w = torch.nn.Parameter(torch.zeros({w.shape}, dtype=torch.{w.dtype}))\n"
        "        self.plain = torch.full((5,), 0.1)\n"
        "    def forward(self, x):\n"
        f"        {forward}\n"
    )
    torch.save({"model_state": {"w": torch.from_numpy(w)}}, home / "model.pth")
    write_inputs(home, [X])
    options = {"module": "net", "qualname": "Net", "init_args": {}, "source": "source"}
    return artifact(home, "pytorch", "model.pth", name=name, options=options, **more)


def asked_both_ways(one: dict[str, Any]) -> list[dict[str, Any]]:
    return [one, {**one, "id": one["id"] + " wide", "witness": "float64"}]


def test_torch_is_asked_in_float64_and_rounded_once(tmp_path: Path) -> None:
    found = run(asked_both_ways(module(tmp_path, "net", "return x @ self.w")), tmp_path)
    native, wide = (found.outputs[name, "native"]["output"] for name in ("net", "net wide"))
    assert same(wide, EXACT)
    assert native.dtype == wide.dtype
    assert not same(native, wide), "float32 sums of 300 products are not exact"
    assert found.hello["witnesses"] == ["float64"]


@pytest.mark.parametrize(
    ("forward", "dtype"),
    [
        ("return (x @ self.w).half()", "<f2"),
        ("return (x @ self.w).argmax(-1)", "<i8"),
        ("return x @ self.w > 0", "|b1"),
        ("return x @ self.w + self.plain", "<f4"),
        ("return x @ self.w + torch.full((5,), 0.5) + torch.zeros(7, 5).to(x.dtype)", "<f4"),
    ],
)
def test_outputs_keep_their_native_type(tmp_path: Path, forward: str, dtype: str) -> None:
    found = run(asked_both_ways(module(tmp_path, "net", forward)), tmp_path)
    native, wide = (found.outputs[name, "native"]["output"] for name in ("net", "net wide"))
    assert wide.dtype == native.dtype == np.dtype(dtype)
    assert np.allclose(native, wide, rtol=1e-3)


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        ("return (x @ self.w).float().tanh()", "tanh"),
        ("return x.float() @ self.w.float()", "less than float64"),
        ("return (x @ self.w).bfloat16() + 1", "add"),
        ("return x @ self.w.detach().float()", "Error"),  # torch itself won't mix the two
        ("return (x @ self.w).double()", "nothing wider"),
        ("return x @ self.w if x.dtype == torch.float32 else {'other': x}", "other outputs"),
    ],
)
def test_what_is_not_float64_throughout_is_refused(tmp_path: Path, forward: str, why: str) -> None:
    found = run(asked_both_ways(module(tmp_path, "net", forward)), tmp_path)
    assert found.status("net") == "ok"
    assert found.status("net wide") == "refused"
    assert why in found.results["net wide"]["reason"]
    assert ("net wide", "native") not in found.outputs


def graph(
    folder: Path, name: str, nodes: list[Any], out: int = TensorProto.FLOAT, **more: Any
) -> dict[str, Any]:
    """A graph from `x` `[rows, 300]` to `y`, with the weights `w`."""
    home = folder / name
    home.mkdir()
    made = make.make_graph(
        nodes,
        name,
        [make.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 300])],
        [make.make_tensor_value_info("y", out, None)],
        [numpy_helper.from_array(W, "w")],
    )
    opsets = [make.make_opsetid("", 17), make.make_opsetid("ai.onnx.ml", 3)]
    model = make.make_model(made, opset_imports=opsets, ir_version=8)
    onnx.save(model, home / "model.onnx")
    write_inputs(home, [X])
    return artifact(home, "onnx", "model.onnx", name=name, names=["x"], **more)


MATMUL = make.make_node("MatMul", ["x", "w"], ["p"])
SAME = make.make_node("Identity", ["p"], ["y"])


def constant(value: float, name: str) -> Any:
    return make.make_node("Constant", [], [name], value_float=value)


def test_onnx_is_asked_in_float64_and_rounded_once(tmp_path: Path) -> None:
    found = run(asked_both_ways(graph(tmp_path, "product", [MATMUL, SAME])), tmp_path)
    assert same(found.outputs["product wide", "native"]["y"], EXACT)
    assert found.outputs["product", "native"]["y"].dtype == np.float32


@pytest.mark.parametrize(
    ("nodes", "shift"),
    [
        ([MATMUL, make.make_node("Erf", ["p"], ["y"])], 0.0),
        (
            [
                MATMUL,
                constant(0.1, "c"),
                make.make_node("Add", ["p", "c"], ["q"]),
                make.make_node("Erf", ["q"], ["y"]),
            ],
            float(np.float32(0.1)),
        ),
        (
            [
                make.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
                make.make_node("Cast", ["h"], ["f"], to=TensorProto.FLOAT),
                make.make_node("MatMul", ["f", "w"], ["p"]),
                make.make_node("Erf", ["p"], ["y"]),
            ],
            0.0,
        ),
    ],
    ids=["an operator that onnxruntime lacks", "a constant", "casts"],
)
def test_what_onnxruntime_lacks_the_onnx_package_computes(
    tmp_path: Path, nodes: list[Any], shift: float
) -> None:
    from math import erf

    found = run(asked_both_ways(graph(tmp_path, "erf", nodes)), tmp_path)
    assert found.status("erf wide") == "ok", found.results["erf wide"]["reason"]
    exact = np.vectorize(erf)(X.astype(np.float64) @ W.astype(np.float64) + shift)
    wide, native = (found.outputs[n, "native"]["y"] for n in ("erf wide", "erf"))
    assert np.abs(wide - exact).max() <= 2e-7
    assert wide.dtype == native.dtype == np.float32


def test_a_label_is_a_label_in_float64_too(tmp_path: Path) -> None:
    nodes = [MATMUL, make.make_node("ArgMax", ["p"], ["y"], axis=1, keepdims=0)]
    found = run(asked_both_ways(graph(tmp_path, "label", nodes, TensorProto.INT64)), tmp_path)
    assert same(found.outputs["label wide", "native"]["y"], EXACT.argmax(axis=1))


@pytest.mark.parametrize(
    ("nodes", "out", "why"),
    [
        (
            [MATMUL, make.make_node("Cast", ["p"], ["y"], to=TensorProto.DOUBLE)],
            TensorProto.DOUBLE,
            "nothing wider",
        ),
        (
            [
                MATMUL,
                make.make_node("ArgMax", ["p"], ["l"], axis=1),
                make.make_node("OneHotEncoder", ["l"], ["y"], domain="ai.onnx.ml", cats_int64s=[0, 1, 2]),
            ],
            TensorProto.FLOAT,
            "OneHotEncoder",
        ),
    ],
    ids=["float64 natively", "an operator that gives float32 whatever it takes"],
)
def test_an_onnx_model_that_is_not_float64_throughout_is_refused(
    tmp_path: Path, nodes: list[Any], out: int, why: str
) -> None:
    found = run(asked_both_ways(graph(tmp_path, "odd", nodes, out)), tmp_path)
    assert found.status("odd") == "ok", found.results["odd"]["reason"]
    assert found.status("odd wide") == "refused"
    assert why in found.results["odd wide"]["reason"]


def test_convolutions_and_recurrent_layers_have_a_witness(tmp_path: Path) -> None:
    """onnxruntime has no float64 kernel for either."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv1d(3, 4, 3)
            self.lstm = torch.nn.LSTM(98, 6, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(torch.nn.functional.gelu(self.conv(x.reshape(-1, 3, 100))))[0]

    home = tmp_path / "net"
    home.mkdir()
    torch.manual_seed(0)
    net = Net().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.from_numpy(X),),
            home / "model.onnx",
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
        )
    write_inputs(home, [X])
    one = artifact(home, "onnx", "model.onnx", name="net", names=["x"])
    found = run(asked_both_ways(one), tmp_path)
    assert found.status("net wide") == "ok", found.results["net wide"]["reason"]
    with torch.no_grad():
        exact = net.double()(torch.from_numpy(X).double()).numpy().astype(np.float32)
    assert np.abs(found.outputs["net wide", "native"]["y"] - exact).max() <= 6e-8, (
        "one step, where both round"
    )


# Calls cost 50,000 multiply-adds, elements of a result 16; the product of 7 × 300 by 300 × 5 has 10,500.
PRODUCT = 50_000 + 16 * 35 + 10_500


def bounded(one: dict[str, Any], work: int) -> dict[str, Any]:
    return {
        **one,
        "id": one["id"] + " wide",
        "witness": "float64",
        "options": {**one["options"], "work": work},
    }


@pytest.mark.parametrize("spare", [0, -1])
def test_the_work_of_a_torch_model_is_counted_to_the_last_multiply_add(tmp_path: Path, spare: int) -> None:
    one = module(tmp_path, "net", "return x @ self.w")
    found = run([bounded(one, PRODUCT + spare)], tmp_path)
    assert found.status("net wide") == ("ok" if spare == 0 else "refused")
    assert spare == 0 or "billion multiply-adds" in found.results["net wide"]["reason"]


@pytest.mark.parametrize("spare", [0, -1])
def test_the_work_of_the_onnx_package_is_counted_to_the_last_multiply_add(tmp_path: Path, spare: int) -> None:
    one = graph(tmp_path, "erf", [MATMUL, make.make_node("Erf", ["p"], ["y"])])
    found = run([bounded(one, PRODUCT + 50_000 + 16 * 35 + spare)], tmp_path)
    assert found.status("erf wide") == ("ok" if spare == 0 else "refused")
    assert spare == 0 or "billion multiply-adds" in found.results["erf wide"]["reason"]


def test_the_work_of_a_loop_is_counted_round_by_round(tmp_path: Path) -> None:
    body = make.make_graph(
        [
            make.make_node("Erf", ["before"], ["after"]),
            make.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            make.make_tensor_value_info("round", TensorProto.INT64, []),
            make.make_tensor_value_info("go", TensorProto.BOOL, []),
            make.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            make.make_tensor_value_info("on", TensorProto.BOOL, []),
            make.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    rounds = make.make_node("Constant", [], ["n"], value_int=100)
    always = make.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
    nodes = [MATMUL, rounds, always, make.make_node("Loop", ["n", "c", "p"], ["y"], body=body)]
    one = graph(tmp_path, "loop", nodes)
    short, long = bounded(one, 100 * 100_000), {**bounded(one, 101 * 110_000), "id": "long"}
    found = run([short, long], tmp_path)
    assert found.status("loop wide") == "refused"
    assert found.status("long") == "ok", found.results["long"]["reason"]


def test_a_layer_norm_that_states_its_type_has_a_witness(tmp_path: Path) -> None:
    """Beside an operator that onnxruntime lacks, so that the onnx package computes it."""
    norm = make.make_node("LayerNormalization", ["p", "scale"], ["q"], stash_type=1)
    ones = make.make_node("Constant", [], ["scale"], value=numpy_helper.from_array(np.ones(5, np.float32)))
    nodes = [MATMUL, ones, norm, make.make_node("Erf", ["q"], ["y"])]
    found = run(asked_both_ways(graph(tmp_path, "norm", nodes)), tmp_path)
    assert found.status("norm wide") == "ok", found.results["norm wide"]["reason"]
    wide, native = (found.outputs[n, "native"]["y"] for n in ("norm wide", "norm"))
    assert wide.dtype == native.dtype
    assert np.abs(wide - native).max() < 1e-5


@pytest.mark.parametrize("name", ["ResNet18", "ViTTiny"])
def test_well_known_nets_have_a_witness_that_nobody_asked_for(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    net = getattr(known_nets, name)().eval()
    home = tmp_path / name
    (home / "source").mkdir(parents=True)
    shutil.copy(known_nets.__file__, home / "source" / "known_nets.py")
    torch.save({"model_state": net.state_dict()}, home / "model.pth")
    image = np.random.default_rng(0).standard_normal((4, 3, 224, 224)).astype(np.float32)
    write_inputs(home, [image])
    options = {"module": "known_nets", "qualname": name, "init_args": {}, "source": "source"}
    one = artifact(home, "pytorch", "model.pth", name=name, options=options, timeout=300)
    found = run([bounded(one, LIMITS.witness_work)], tmp_path)
    assert found.status(f"{name} wide") == "ok", found.results[f"{name} wide"]["reason"]
    with torch.no_grad():
        exact = net.double()(torch.from_numpy(image).double()).float().numpy()
    wide = found.outputs[f"{name} wide", "native"]["output"]
    assert np.abs(wide - exact).max() <= np.spacing(np.abs(exact).max())
    billions = {"ResNet18": 4 * 1.8, "ViTTiny": 4 * 1.2}[name]
    refused = run([bounded(one, int(billions * 10**9))], tmp_path)
    assert refused.status(f"{name} wide") == "refused"


def test_a_copy_may_be_a_witness_with_a_time_of_its_own(tmp_path: Path) -> None:
    one = module(tmp_path, "net", "return x @ self.w")
    slow = module(
        tmp_path, "slow", "import time; time.sleep(30 * (x.dtype == torch.float64)); return x @ self.w"
    )
    for item in (one, slow):
        told = {k: item[k] for k in ("framework", "model", "options")}
        item["copies"] = [{**told, "name": "wide", "witness": "float64", "timeout": 8}]
    found = run([one, slow], tmp_path)
    assert same(found.outputs["net", "wide"]["output"], EXACT)
    assert found.results["net"]["copies"]["wide"]["status"] == "ok"
    assert found.results["slow"]["status"] == "ok"
    assert found.results["slow"]["copies"]["wide"]["status"] == "timeout"


@pytest.mark.parametrize(
    ("framework", "witness"), [("pytorch", "a guess"), ("pytorch", True), ("xgboost", "float64")]
)
def test_a_witness_that_nobody_knows_is_no_job(tmp_path: Path, framework: str, witness: object) -> None:
    one = artifact(tmp_path, framework, "model", witness=witness)
    ended = run_raw({"contract": 1, "threads": 1, "artifacts": [one]}, tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == b""
    assert b"witness" in ended.stderr
