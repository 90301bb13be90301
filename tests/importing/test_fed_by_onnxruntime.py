"""What imports hold, fed to the real onnxruntime: sequences, optionals, types that NumPy lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from timeproof.compare.verdict import Verdict
from timeproof.frameworks.onnx.probe.elements import BY_NAME
from timeproof.importing.flow import Request, import_models
from timeproof.replaying.grading import judge_outcome, task_of
from timeproof.runs.container_run import run_probe
from timeproof.runs.probe_stream import Outcome
from timeproof.runs.profiles import profile_named
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.testing import local_probe
from timeproof.testing.archives import ENVIRONMENT
from timeproof.testing.fake_engine import FakeEngine

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from support.onnx_cases import X, relu, tensor, write_case  # noqa: E402

ELEMENTS = ("bfloat16", "float8e4m3fn", "float8e5m2", "int4", "uint4")


def model(nodes: list, inputs: list, outputs: list) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def cases(root: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])
    values = np.array([0, 1, -2, 3, 5], np.float32)
    for name in ELEMENTS:
        given = np.abs(values) if name == "uint4" else values
        number = BY_NAME[name].number
        y = helper.make_tensor_value_info("y", number, [None])
        proto = helper.make_tensor("y", number, [5], given.tolist())
        to = model([helper.make_node("Cast", ["x"], ["y"], to=number)], [x], [y])
        write_case(root / f"to_{name}", to, [tensor(given)], [proto])
        back = model([helper.make_node("Cast", ["y"], ["x"], to=TensorProto.FLOAT)], [y], [x])
        write_case(root / f"from_{name}", back, [proto], [tensor(given)])
    s = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    t = helper.make_tensor_sequence_value_info("t", TensorProto.FLOAT, None)
    items = helper.make_sequence("s", onnx.SequenceProto.TENSOR, [tensor(X), tensor(X[:1])])
    write_case(
        root / "sequence", model([helper.make_node("Identity", ["s"], ["t"])], [s], [t]), [items], [items]
    )
    maybe = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    o, b = helper.make_value_info("o", maybe), helper.make_tensor_value_info("b", TensorProto.BOOL, [])
    none = helper.make_optional("o", onnx.OptionalProto.UNDEFINED, None)
    there = helper.make_optional("o", onnx.OptionalProto.TENSOR, tensor(X))
    has = model([helper.make_node("OptionalHasElement", ["o"], ["b"])], [o], [b])
    write_case(root / "none", has, [none], [numpy_helper.from_array(np.array(False))])
    write_case(root / "some", has, [there], [numpy_helper.from_array(np.array(True))])
    words = numpy_helper.from_array(np.array(["a", "Zoë", ""], object))
    w, v = (helper.make_tensor_value_info(n, TensorProto.STRING, [None]) for n in "wv")
    write_case(
        root / "words", model([helper.make_node("Identity", ["w"], ["v"])], [w], [v]), [words], [words]
    )
    write_case(root / "wrong", relu(), [tensor(X)], [tensor(X)])
    pair = helper.make_sequence("s", onnx.SequenceProto.TENSOR, [helper.make_tensor("", 16, [1], [1.0])])
    write_case(root / "unfed", model([helper.make_node("Identity", ["s"], ["t"])], [s], [t]), [pair], [pair])


@pytest.fixture(scope="module")
def outcomes(_small, tmp_path_factory) -> dict[str, tuple[Verdict, str]]:
    """Every case's verdict, by its name; one probe runs them all."""
    from support.archive_making import copy_archive

    folder = tmp_path_factory.mktemp("fed")
    cases(folder / "cases")
    archive = Archive(copy_archive(_small, folder / "archive"))
    done = import_models(archive, Request(folder / "cases", 1, ENVIRONMENT), lambda: pytest.fail("an engine"))
    told = {str(ref): read_metadata(archive, ref) for ref in done.refs}
    found: dict[str, tuple[Verdict, str]] = {}

    def judge(outcome: Outcome) -> None:
        metadata = told[outcome.id]
        one = judge_outcome(archive, Ref.parse(outcome.id), metadata, outcome)
        found[metadata.tags["case"]] = one.verdict, one.reason

    tasks = [task_of(archive, ref, told[str(ref)]) for ref in done.refs]
    run_probe(FakeEngine(local_probe.run), "sha256:x", tasks, profile_named("portable"), on_outcome=judge)
    return found


@pytest.mark.parametrize("way", ["to", "from"])
@pytest.mark.parametrize("name", ELEMENTS)
def test_a_type_that_numpy_lacks_goes_in_and_comes_out_to_the_bit(outcomes, way, name):
    assert outcomes[f"{way}_{name}"][0] is Verdict.identical, outcomes[f"{way}_{name}"]


@pytest.mark.parametrize("case", ["sequence", "none", "some", "words"])
def test_sequences_optionals_and_strings_go_in_and_come_out(outcomes, case):
    assert outcomes[case][0] is Verdict.identical, outcomes[case]


def test_a_third_partys_answer_that_is_not_the_models_is_broken(outcomes):
    assert outcomes["wrong"][0] is Verdict.broken


def test_what_python_cant_feed_is_refused_with_the_reason(outcomes):
    assert outcomes["unfed"] == (Verdict.refused, "onnxruntime can't be given a sequence of bfloat16")
