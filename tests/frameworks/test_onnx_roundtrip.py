"""ONNX files: kept as they are, external data beside them, and run as the graph says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import onnx_bytes as ob
from support.roundtrip import Both, Case, both_sides, save

from timeproof.errors import NotArchivable, NotFound
from timeproof.frameworks import SaveOptions, adapter_named
from timeproof.frameworks.onnx import OnnxOptions
from timeproof.frameworks.onnx.probe import onnxfile
from timeproof.testing import probing


def graph_model(
    nodes: list, inputs: list, outputs: list, initializers: list = (), **more: object
) -> onnx.ModelProto:  # type: ignore[type-arg]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    opsets = more.pop("opset_imports", None) or [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **more)


def info(name: str, kind: int, *dims: object) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(dims))


def adder(size: int = 2) -> onnx.ModelProto:
    return graph_model(
        [helper.make_node("Add", ["x", "w"], ["y"]), helper.make_node("Neg", ["y"], ["z/neg:0"])],
        [info("x", TensorProto.FLOAT, "n", size)],
        [info("y", TensorProto.FLOAT, "n", size), info("z/neg:0", TensorProto.FLOAT, "n", size)],
        [numpy_helper.from_array(np.arange(size, dtype=np.float32), "w")],
    )


def identity(kind: int) -> onnx.ModelProto:
    return graph_model(
        [helper.make_node("Identity", ["x"], ["y"])], [info("x", kind, None)], [info("y", kind, None)]
    )


def zipmap() -> onnx.ModelProto:
    value = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    return graph_model(
        [helper.make_node("ZipMap", ["x"], ["p"], domain="ai.onnx.ml", classlabels_int64s=[3, 7])],
        [info("x", TensorProto.FLOAT, None, 2)],
        [helper.make_value_info("p", value)],
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )


def sequence() -> onnx.ModelProto:
    value = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    return graph_model(
        [helper.make_node("SplitToSequence", ["x"], ["s"], keepdims=1)],
        [info("x", TensorProto.FLOAT, 3)],
        [helper.make_value_info("s", value)],
    )


def swapped() -> onnx.ModelProto:
    return graph_model(
        [helper.make_node("Sub", ["a", "b"], ["y"])],
        [info("a", TensorProto.FLOAT, 2), info("b", TensorProto.FLOAT, 2)],
        [info("y", TensorProto.FLOAT, 2)],
    )


X = np.array([[0.25, -0.0], [np.nan, 1e-40]], np.float32)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    folder = tmp_path_factory.mktemp("onnx")
    path = folder / "saved.onnx"
    onnx.save_model(adder(), path)
    external = folder / "external.onnx"
    onnx.save_model(
        adder(512),
        external,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="weights.bin",
        size_threshold=0,
    )
    a, b = np.array([1, 2], np.float32), np.array([5, 7], np.float32)
    cases = {
        "path": Case(str(path), X),
        "bytes": Case(path.read_bytes(), X),
        "proto": Case(adder(), {"x": X}),
        "all": Case(adder(), X, SaveOptions(OnnxOptions(graph_optimization="all"))),
        "external": Case(str(external), np.ones((3, 512), np.float32)),
        "swapped": Case(swapped(), {"b": b, "a": a}),
        "zipmap": Case(zipmap(), np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)),
        "sequence": Case(sequence(), np.array([1, 2, 3], np.float32)),
        "text": Case(identity(TensorProto.STRING), np.array(["a", "böse", ""])),
        "half": Case(identity(TensorProto.FLOAT16), np.array([1, np.nan], np.float16)),
        "bool": Case(identity(TensorProto.BOOL), np.array([True, False])),
        "u64": Case(identity(TensorProto.UINT64), np.array([2**64 - 1], np.uint64)),
    }
    return both_sides(cases, folder / "out")


@pytest.mark.parametrize(
    "name",
    [
        "path",
        "bytes",
        "proto",
        "all",
        "external",
        "swapped",
        "zipmap",
        "sequence",
        "text",
        "half",
        "bool",
        "u64",
    ],
)
def test_the_probe_answers_as_the_training_process(runs: dict[str, Both], name: str) -> None:
    runs[name].assert_identical()


def test_outputs_keep_the_graphs_names(runs: dict[str, Both]) -> None:
    assert list(runs["path"].expected) == ["y", "z/neg:0"]
    assert list(runs["zipmap"].expected) == ["p_3", "p_7"]
    assert runs["zipmap"].expected["p_7"].dtype == np.float32
    assert list(runs["sequence"].expected) == ["s[0]", "s[1]", "s[2]"]


def test_inputs_are_given_by_name_not_by_place(runs: dict[str, Both]) -> None:
    assert runs["swapped"].outputs["native"]["y"].tolist() == [-4.0, -5.0]


def test_one_array_takes_the_graphs_own_input_name(runs: dict[str, Both]) -> None:
    assert runs["path"].saved.input_names == ("x",)


def test_a_file_without_external_data_is_kept_byte_for_byte(runs: dict[str, Both]) -> None:
    kept = (runs["path"].folder / "model_onnx_v1.onnx").read_bytes()
    assert kept == (runs["path"].folder.parents[1] / "saved.onnx").read_bytes()


def test_external_data_is_archived_beside_the_model(runs: dict[str, Both]) -> None:
    both = runs["external"]
    assert {(item.path, item.role) for item in both.saved.files} == {
        ("model_onnx_v1.onnx", "model"),
        ("model_onnx_v1_0.data", "external"),
    }
    found = onnxfile.inspect((both.folder / "model_onnx_v1.onnx").read_bytes())
    assert {item.location for item in found.external} == {"model_onnx_v1_0.data"}
    assert any("weights.bin" in note for note in both.saved.notes)


def test_what_the_file_says_of_itself_is_recorded(runs: dict[str, Both]) -> None:
    facts = runs["path"].saved.options["facts"]
    assert facts["opset"] == 17
    assert facts["ir_version"] == 9
    assert facts["inputs"] == [{"name": "x", "dims": ["n", 2]}]
    assert facts["dynamic_batch"] is True
    assert runs["path"].saved.options["graph_optimization"] == "basic"
    assert runs["all"].saved.options["graph_optimization"] == "all"


def refused(folder: Path, model: object, inputs: object, words: str) -> None:
    with pytest.raises(NotArchivable, match=words) as caught:
        save(Case(model, inputs), folder / "refused")
    assert caught.value.advice
    assert list((folder / "refused").iterdir()) == []


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../secret", "not a plain relative path"),
        ("/etc/hostname", "not a plain relative path"),
        ("a\\b", "not a plain relative path"),
        ("link", "symbolic link"),
        ("folder/inside", "symbolic link"),
        ("nowhere", "there is no file"),
        ("pipe", "there is no file"),
    ],
)
def test_external_data_elsewhere_is_refused(tmp_path: Path, location: str, words: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").write_bytes(bytes(8))
    (home / "link").symlink_to("../secret")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "inside").write_bytes(bytes(8))
    (home / "folder").symlink_to("../real")
    os.mkfifo(home / "pipe")
    (home / "m.onnx").write_bytes(ob.adding(ob.tensor("w", location=location)))
    refused(tmp_path, home / "m.onnx", {"x": X}, words)


def test_external_data_beyond_its_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    (tmp_path / "m.onnx").write_bytes(ob.adding(ob.tensor("w", location="w.bin", offset=str(2**62))))
    refused(tmp_path, tmp_path / "m.onnx", {"x": X}, "which has 8")


@pytest.mark.parametrize("data", [b"", b"no", ob.adding(ob.tensor("w"))[:-2]])
def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    refused(tmp_path, tmp_path / "m.onnx", {"x": X}, "empty|not an ONNX file")


def test_inputs_must_be_named_as_the_graph_names_them(tmp_path: Path) -> None:
    refused(tmp_path, swapped(), {"a": X[0], "c": X[0]}, "inputs are a, b, not a, c")


def test_a_file_optimised_for_this_processor_is_refused(tmp_path: Path) -> None:
    weights = np.ones((16, 16, 3, 3), np.float32)
    model = graph_model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        [info("x", TensorProto.FLOAT, 1, 16, 8, 8)],
        [info("y", TensorProto.FLOAT, 1, 16, 8, 8)],
        [numpy_helper.from_array(weights, "w")],
    )
    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath = str(tmp_path / "fast.onnx")
    settings.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    found = onnxfile.inspect((tmp_path / "fast.onnx").read_bytes())
    if not any("nchwc" in domain for domain in found.domains):
        pytest.skip("onnxruntime has no NCHWc kernels on this processor")
    refused(tmp_path, tmp_path / "fast.onnx", {"x": np.ones((1, 16, 8, 8), np.float32)}, "nchwc")


@pytest.mark.parametrize("domain", ["com.microsoft.nchwc", "com.ms.internal.nhwc"])
def test_operators_of_the_optimisers_own_are_refused(tmp_path: Path, domain: str) -> None:
    data = ob.model(
        ob.message(1, ob.node("Conv", ["x"], ["y"], domain=domain)), ob.message(11, ob.value_info("x", 2))
    )
    refused(tmp_path, data, {"x": X}, "unoptimised|optimised by onnxruntime")


def test_operators_of_other_domains_are_not_refused(tmp_path: Path) -> None:
    data = ob.model(
        ob.message(1, ob.node("Gelu", ["x"], ["y"], domain="com.microsoft")),
        ob.message(11, ob.value_info("x", 2)),
        ob.message(12, ob.value_info("y", 2)),
    )
    saved, _, _ = save(Case(data, {"x": X[0]}), tmp_path / "kept")
    assert saved.model == "model_onnx_v1.onnx"


def test_external_data_needs_a_path(tmp_path: Path) -> None:
    refused(tmp_path, ob.adding(ob.tensor("w", location="w.bin")), {"x": X}, "only a path says where")


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        adapter_named("onnx").save_file(tmp_path / "no.onnx", {"x": X}, tmp_path, "onnx_v1", SaveOptions())


def test_a_model_that_can_not_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotArchivable, match="can't answer these inputs"):
        save(Case(adder(), np.ones((2, 5), np.float32)), tmp_path / "m")


def test_without_the_onnx_package_external_data_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    (tmp_path / "m.onnx").write_bytes(ob.adding(ob.tensor("w", location="w.bin", length="8")))
    (tmp_path / "plain.onnx").write_bytes(ob.adding(ob.tensor("w")))
    (tmp_path / "out").mkdir()
    script = (
        "import sys; sys.modules['onnx'] = None; sys.modules['onnxruntime'] = None\n"
        "from pathlib import Path; import numpy as np\n"
        "from timeproof.errors import NotArchivable\n"
        "from timeproof.frameworks import SaveOptions, adapter_for_file\n"
        "here = Path(sys.argv[1]); x = {'x': np.zeros((1, 2), np.float32)}\n"
        "save = lambda name, tag: adapter_for_file(here / name).save_file("
        "here / name, x, here / 'out', tag, SaveOptions())\n"
        "assert save('plain.onnx', 'onnx_v1').framework_version is None\n"
        "try: save('m.onnx', 'onnx_v2')\n"
        "except NotArchivable as error: print(error.advice)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "pip install onnx" in ended.stdout


def test_an_altered_data_file_is_found_before_the_model_is_loaded(tmp_path: Path) -> None:
    onnx.save_model(
        adder(512), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    saved, given, _ = save(Case(str(tmp_path / "m.onnx"), np.ones((1, 512), np.float32)), tmp_path / "out")
    told = probing.artifact(
        tmp_path / "out", "onnx", saved.model, names=list(given), options=dict(saved.options)
    )
    path = tmp_path / "out" / "model_onnx_v1_0.data"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    replay = probing.run([told], tmp_path)
    assert replay.status("a") == "altered"
    assert replay.results["a"]["path"] == "model_onnx_v1_0.data"
