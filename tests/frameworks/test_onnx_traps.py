"""Traps in ONNX files, made by the real libraries: refused, or kept on request, or noted."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support import onnx_bytes as ob
from support.roundtrip import Case, save

from timeproof.errors import NotArchivable
from timeproof.frameworks import SaveOptions
from timeproof.frameworks.onnx import OnnxOptions
from timeproof.frameworks.onnx import graph as onnx_graph

RNG = np.random.default_rng(5)
X = {"x": RNG.normal(size=(9, 16)).astype(np.float32)}


def info(name: str, *dims: object, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(dims))


def net(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], width: int = 16) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", "n", width)],
        [info("y", "n", None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One net, as onnxruntime quantises it in every common way."""
    from onnxruntime import quantization as q

    folder = tmp_path_factory.mktemp("quantised")
    plain = folder / "float.onnx"
    weights = {
        "a": RNG.normal(size=(16, 32)).astype(np.float32),
        "b": RNG.normal(size=(32, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    onnx.save(net(nodes, weights), plain)

    class Once(q.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [X]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    int8, uint8 = q.QuantType.QInt8, q.QuantType.QUInt8
    made = {"float": plain}
    logging.disable(logging.WARNING)  # its hints on pre-processing
    for name, more in {
        "dynamic s8": {"weight_type": int8},
        "dynamic u8": {"weight_type": uint8},
        "dynamic reduced": {"weight_type": int8, "reduce_range": True},
    }.items():
        made[name] = folder / f"{name}.onnx"
        q.quantize_dynamic(plain, made[name], **more)
    for name, more in {
        "operators u8s8": {"quant_format": q.QuantFormat.QOperator, "weight_type": int8},
        "operators u8u8": {"quant_format": q.QuantFormat.QOperator, "weight_type": uint8},
        "qdq u8s8": {"quant_format": q.QuantFormat.QDQ, "weight_type": int8},
        "qdq s8s8": {"quant_format": q.QuantFormat.QDQ, "weight_type": int8, "activation_type": int8},
        "qdq reduced": {"quant_format": q.QuantFormat.QDQ, "weight_type": int8, "reduce_range": True},
    }.items():
        made[name] = folder / f"{name}.onnx"
        q.quantize_static(plain, made[name], Once(), **{"activation_type": uint8, **more})
    external = folder / "external.onnx"
    onnx.save_model(
        onnx.load(made["dynamic s8"]),
        external,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    made["external s8"] = external
    logging.disable(logging.NOTSET)
    return made


@pytest.mark.parametrize("name", ["dynamic s8", "operators u8s8", "external s8"])
def test_int8_weights_that_saturate_are_refused_and_the_way_out_is_named(
    quantised: dict[str, Path], tmp_path: Path, name: str
) -> None:
    with pytest.raises(NotArchivable, match=r"beyond ±64 .*MatMul.*without VNNI") as caught:
        save(Case(quantised[name], X), tmp_path / "m")
    assert "reduce_range=True" in caught.value.advice
    assert "QUInt8" in caught.value.advice
    assert "--keep-saturating" in caught.value.advice
    assert list((tmp_path / "m").iterdir()) == []


@pytest.mark.parametrize("name", ["dynamic s8", "external s8"])
def test_they_are_kept_on_request_and_marked(quantised: dict[str, Path], tmp_path: Path, name: str) -> None:
    saved, _, _ = save(Case(quantised[name], X, SaveOptions(keep_saturating=True)), tmp_path / "m")
    assert saved.kept == ("saturating",)
    assert any("kept on request" in note for note in saved.notes)


@pytest.mark.parametrize("name", ["float", "dynamic u8", "dynamic reduced", "operators u8u8", "qdq reduced"])
def test_unsigned_and_reduced_weights_answer_alike_everywhere_and_are_no_trap(
    quantised: dict[str, Path], tmp_path: Path, name: str
) -> None:
    options = SaveOptions(OnnxOptions(graph_optimization="all"))
    saved, _, _ = save(Case(quantised[name], X, options), tmp_path / "m")
    assert saved.kept == ()
    assert saved.notes == ()


@pytest.mark.parametrize("name", ["qdq u8s8", "qdq s8s8"])
def test_weights_that_are_dequantised_first_saturate_only_where_onnxruntime_fuses_them(
    quantised: dict[str, Path], tmp_path: Path, name: str
) -> None:
    saved, _, _ = save(Case(quantised[name], X), tmp_path / "basic")
    assert saved.kept == ()
    assert any("onnxruntime's own default" in note for note in saved.notes)
    for level in ("extended", "all"):
        with pytest.raises(NotArchivable, match="DequantizeLinear"):
            save(
                Case(quantised[name], X, SaveOptions(OnnxOptions(graph_optimization=level))), tmp_path / level
            )  # type: ignore[arg-type]


def test_onnxruntime_fuses_dequantised_weights_at_the_levels_that_are_refused(
    quantised: dict[str, Path], tmp_path: Path
) -> None:
    """What the rule above stands on; should onnxruntime change, this says so."""
    levels = onnxruntime.GraphOptimizationLevel
    fused = {}
    for name, level in {"basic": levels.ORT_ENABLE_BASIC, "extended": levels.ORT_ENABLE_EXTENDED}.items():
        graph = onnx_graph.read(optimised(quantised["qdq u8s8"], tmp_path / f"{name}.onnx", level))
        fused[name] = any(node.kind == "QLinearMatMul" for node in graph.nodes)
    assert fused == {"basic": False, "extended": True}


def optimised(model: Path, target: Path, level: Any = None, **entries: str) -> bytes:
    """Save the model as onnxruntime optimises it on this machine."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.graph_optimization_level = level or onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.optimized_model_filepath = str(target)
    for key, value in entries.items():
        settings.add_session_config_entry(f"session.{key}", value)
    onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    return target.read_bytes()


def test_int8_products_of_two_activations_are_noted_for_the_file_tells_no_range(tmp_path: Path) -> None:
    zero = np.array(0, np.int8)
    one = np.array(1, np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["q"]),
        helper.make_node("Transpose", ["q"], ["t"]),
        helper.make_node(
            "QLinearMatMul", ["q", "one", "zero", "t", "one", "zero", "one", "zero"], ["m"], name="m"
        ),
        helper.make_node("DequantizeLinear", ["m", "one", "zero"], ["y"]),
    ]
    saved, _, _ = save(Case(net(nodes, {"one": one, "zero": zero}), X), tmp_path / "m")
    assert saved.kept == ()
    assert any("QLinearMatMul" in note and "may saturate" in note for note in saved.notes)


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=40), st.booleans())
def test_the_range_of_int8_weights_is_read_however_they_are_spelled(values: list[int], raw: bool) -> None:
    array = np.array(values, np.int8)
    tensor = (
        numpy_helper.from_array(array, "w")
        if raw
        else helper.make_tensor("w", TensorProto.INT8, array.shape, values)
    )
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [tensor])
    found = onnx_graph.read(helper.make_model(graph).SerializeToString()).weights["w"].largest
    largest = int(np.abs(array.astype(np.int16)).max())
    assert found is not None
    assert (found == largest) if largest > 64 else (found <= 64)


def test_int8_weights_of_constants_and_subgraphs_are_found(tmp_path: Path) -> None:
    weights = helper.make_tensor("", TensorProto.INT8, [16, 2], [100] * 32)
    inner = helper.make_graph(
        [
            helper.make_node("Constant", [], ["w"], value=weights),
            helper.make_node("MatMulInteger", ["q", "w"], ["m"]),
            helper.make_node("Cast", ["m"], ["o"], to=TensorProto.FLOAT),
        ],
        "inner",
        [],
        [info("o", "n", 2)],
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["q"], to=TensorProto.UINT8),
        helper.make_node("If", ["always"], ["y"], then_branch=inner, else_branch=inner),
    ]
    with pytest.raises(NotArchivable, match="MatMulInteger w"):
        save(Case(net(nodes, {"always": np.array(True)}), X), tmp_path / "m")


# --- made for one processor -----------------------------------------------------------------


def test_weights_that_onnxruntime_packed_for_this_processor_are_refused(
    quantised: dict[str, Path], tmp_path: Path
) -> None:
    entries = {
        "optimized_model_external_initializers_file_name": "packed.bin",
        "optimized_model_external_initializers_min_size_in_bytes": "0",
        "save_external_prepacked_constant_initializers": "1",
    }
    optimised(quantised["float"], tmp_path / "packed.onnx", **entries)
    with pytest.raises(NotArchivable, match="packed for one processor") as caught:
        save(Case(tmp_path / "packed.onnx", X), tmp_path / "m")
    assert caught.value.advice


@pytest.mark.parametrize("domain", ["com.microsoft.nchwc", "com.ms.internal.nhwc", "com.xilinx"])
def test_domains_of_one_processor_or_device_are_refused(tmp_path: Path, domain: str) -> None:
    data = ob.model(ob.message(1, ob.node("Conv", ["x"], ["y"], domain=domain)), INPUT, OUTPUT)
    with pytest.raises(NotArchivable, match=domain):
        save(Case(data, X), tmp_path / "m")


INPUT = ob.message(11, ob.value_info("x", "n", 16))
OUTPUT = ob.message(12, ob.value_info("y", "n", 16))


def test_code_that_was_compiled_for_an_accelerator_is_refused(tmp_path: Path) -> None:
    data = ob.model(ob.message(1, ob.node("EPContext", ["x"], ["y"], domain="com.microsoft")), INPUT, OUTPUT)
    with pytest.raises(NotArchivable, match="compiled for one accelerator"):
        save(Case(data, X), tmp_path / "m")


def test_onnxruntimes_own_operators_run_on_any_cpu_and_are_noted(tmp_path: Path) -> None:
    """A file that it saved at the level `extended`: FusedConv and the like, which are no trap."""
    image = {"x": RNG.normal(size=(1, 4, 8, 8)).astype(np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        "g",
        [info("x", 1, 4, 8, 8)],
        [info("y", 1, 4, 8, 8)],
        [numpy_helper.from_array(RNG.normal(size=(4, 4, 3, 3)).astype(np.float32), "w")],
    )
    plain = tmp_path / "plain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), plain)
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    optimised(plain, tmp_path / "extended.onnx", level)
    saved, _, _ = save(Case(tmp_path / "extended.onnx", image), tmp_path / "m")
    assert any("FusedConv" in note and "on any CPU" in note for note in saved.notes)


def test_random_operators_are_recorded_and_a_seed_of_their_own_is_noted(tmp_path: Path) -> None:
    drawn = helper.make_node("RandomNormalLike", ["x"], ["y"])
    saved, _, _ = save(Case(net([drawn], {}), X), tmp_path / "drawn")
    assert saved.options["facts"]["random"] == ["RandomNormalLike"]  # type: ignore[index]
    assert saved.notes == ()
    fixed = helper.make_node("RandomNormalLike", ["x"], ["y"], seed=3.0)
    saved, _, _ = save(Case(net([fixed], {}), X), tmp_path / "fixed")
    assert any("asked again answers otherwise" in note for note in saved.notes)
