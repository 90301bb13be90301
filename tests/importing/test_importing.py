"""Whole imports, without an engine: what is published, and what leaves the archive as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.paths import child_environment

from timeproof.base.paths import list_tree
from timeproof.errors import BadGridSize, BadRequest, NotFound, NotImportable
from timeproof.importing.flow import Request, import_models
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.reference import read as read_reference
from timeproof.store.schema.records import Machine, SealFacts
from timeproof.store.verify import verify
from timeproof.testing.archives import ENVIRONMENT

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402
from support.onnx_cases import X, graph_of, relu, tensor, write_case  # noqa: E402


def no_engine():
    raise AssertionError("an import into an environment that is there needs no engine")


@pytest.fixture
def tree(tmp_path) -> Path:
    """Three cases: one with two data sets, one with a sequence, one with an output that NumPy lacks."""
    root = tmp_path / "zoo"
    write_case(root / "node/relu", relu(), [tensor(X)], [tensor(X.clip(0), "another name")])
    write_case(root / "node/relu", relu(), [tensor(-X)], [tensor((-X).clip(0))], number=1)
    several = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    maybe = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    optional = helper.make_value_info("o", maybe)
    length = helper.make_tensor_value_info("n", TensorProto.INT64, [])
    model = graph_of([helper.make_node("SequenceLength", ["s"], ["n"])], [several, optional], [length])
    items = helper.make_sequence("s", onnx.SequenceProto.TENSOR, [tensor(X), tensor(X[:1])])
    none = helper.make_optional("o", onnx.OptionalProto.UNDEFINED, None)
    write_case(root / "node/sequence", model, [items, none], [tensor(np.array(2))])
    wide = helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [2])
    narrow = helper.make_tensor_value_info("y", TensorProto.BFLOAT16, [2])
    model = graph_of([helper.make_node("Identity", ["x"], ["y"])], [wide], [narrow])
    half = helper.make_tensor("x", TensorProto.BFLOAT16, [2], [1.5, -0.25])
    write_case(root / "bf16", model, [half], [half])
    (root / "README").write_text("not a case")
    return root


def request(source: Path, **more) -> Request:
    return Request(source=source, grid_size=7, environment=ENVIRONMENT, **more)


def run(archive: Archive, source: Path, **more):
    return import_models(archive, request(source, **more), no_engine)


def arrays(archive: Archive, ref: Ref) -> tuple[dict, dict]:
    metadata = read_metadata(archive, ref)
    path = archive.root / ref.folder / metadata.file("reference").path
    with path.open("rb") as stream:
        both = read_reference(stream, [*metadata.inputs, *metadata.outputs], path)
    return {i.name: both[i.name] for i in metadata.inputs}, {o.name: both[o.name] for o in metadata.outputs}


def test_every_data_set_of_a_tree_is_an_artifact(small, tree):
    done = run(small, tree, origin="a zoo", tags={"run": "3"})
    assert [str(r) for r in done.refs] == [f"grid-size-7/onnx/v{n}" for n in (1, 2, 3, 4)]
    told = [read_metadata(small, ref) for ref in done.refs]
    cases = [(m.tags["case"], m.tags["data_set"]) for m in told]
    assert cases == [("bf16", "0"), ("node/relu", "0"), ("node/relu", "1"), ("node/sequence", "0")]
    for metadata in told:
        assert (metadata.reference.origin, metadata.reference.source) == ("imported", "a zoo")
        assert (metadata.seal, metadata.machine) == (SealFacts(), Machine())
        assert metadata.framework.version is None
        assert metadata.training is None
        assert metadata.tags["run"] == "3"
    inputs, outputs = arrays(small, done.refs[1])
    assert inputs["x"].tolist() == X.tolist()
    assert outputs["y"].tolist() == X.clip(0).tolist()
    report = verify(small)
    assert report.ok, [f.message for f in report.findings]
    assert not report.leftovers


def test_a_sequence_is_named_by_place_and_an_optional_may_be_none(small, tree):
    done = run(small, tree / "node/sequence")
    metadata = read_metadata(small, done.refs[0])
    assert metadata.tags["case"] == "sequence"
    assert [i.name for i in metadata.inputs] == ["s[0]", "s[1]"]
    assert metadata.model.options["feeds"] == [
        {"name": "s", "kind": "sequence", "count": 2},
        {"name": "o", "kind": "none", "count": 0},
    ]


def test_inputs_that_numpy_lacks_are_bits_and_outputs_are_values(small, tree):
    done = run(small, tree / "bf16")
    metadata = read_metadata(small, done.refs[0])
    inputs, outputs = arrays(small, done.refs[0])
    assert inputs["x"].tolist() == [0x3FC0, 0xBE80]
    assert outputs["y"].tolist() == [1.5, -0.25]
    assert [s.element for s in (*metadata.inputs, *metadata.outputs)] == ["bfloat16", "bfloat16"]
    assert metadata.model.options["feeds"][0]["element"] == "bfloat16"


def test_the_same_import_again_adds_nothing_and_a_new_case_alone(small, tree):
    first = run(small, tree)
    again = run(small, tree)
    assert (again.refs, again.there) == ((), first.refs)
    write_case(tree / "another", relu(), [tensor(X[:1])], [tensor(X[:1].clip(0))])
    more = run(small, tree)
    assert [r.version for r in more.refs] == [5]
    assert len(more.there) == 4
    assert verify(small).ok


def model_file(folder: Path, model: onnx.ModelProto, x: np.ndarray, y: np.ndarray) -> dict:
    """A model file with its arrays, as keywords of a request."""
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "x.npz", x=x)
    np.savez(folder / "y.npz", y=y)
    return {"source": folder / "m.onnx", "inputs": folder / "x.npz", "expected": folder / "y.npz"}


def test_arrays_of_a_wider_dtype_are_kept_in_the_graphs_where_no_value_is_lost(small, tmp_path):
    done = run(small, **model_file(tmp_path, relu(), X.astype("f8"), X.clip(0).astype(">f8")))
    assert done.notes == (
        "the input x is kept as float32, not float64: every value is the same",
        "the answer y is kept as float32, not >f8: every value is the same",
    )
    metadata = read_metadata(small, done.refs[0])
    assert [spec.dtype for spec in (*metadata.inputs, *metadata.outputs)] == ["<f4", "<f4"]
    assert metadata.notes[:2] == list(done.notes)


def test_an_input_that_the_graphs_dtype_does_not_hold_is_refused_and_an_answer_is_graded(small, tmp_path):
    with pytest.raises(NotImportable, match=r"x: the array is float64, the model takes float32") as caught:
        run(small, **model_file(tmp_path, relu(), X + np.float64(1e-9), X))
    assert "x.npz" in str(caught.value)
    done = run(small, **model_file(tmp_path, relu(), X, X.clip(0) + np.float64(1e-9)))
    assert "graded by value" in done.notes[0]
    assert read_metadata(small, done.refs[0]).outputs[0].dtype == "<f8"


def test_class_scores_are_what_the_graph_says_and_what_is_said_by_name(small, tmp_path):
    plain = run(small, **model_file(tmp_path, relu(), X, X.clip(0)))
    named = run(small, **model_file(tmp_path, relu(), X, X.clip(0)), scores=["y"])
    assert run(small, **model_file(tmp_path, relu(), X, X.clip(0)), scores=["y"]).there == named.refs
    marks = [read_metadata(small, done.refs[0]).outputs[0].scores for done in (plain, named)]
    assert marks == [None, True]
    softmax = relu()
    softmax.graph.node[0].op_type = "Softmax"
    own = run(small, **model_file(tmp_path, softmax, X, X))
    assert read_metadata(small, own.refs[0]).outputs[0].scores is True
    before = snapshot(small)
    with pytest.raises(BadRequest, match="--scores z: no imported answer has this name"):
        run(small, **model_file(tmp_path, relu(), X, X), scores=["z"])
    assert snapshot(small) == before


def test_onnx_models_have_no_boosting_rounds(small, tree, tmp_path):
    with pytest.raises(BadRequest, match="boosting rounds"):
        run(small, tree, trees=3)
    with pytest.raises(BadRequest, match="--trees 3: onnx models have no boosting rounds"):
        run(small, **model_file(tmp_path, relu(), X, X), trees=3)


BROKEN = {
    "a truncated input": ("test_data_set_0/input_0.pb", b"\x08\x02\x10", "cut off"),
    "a model that is none": ("model.onnx", b"\x08", "model.onnx: not an ONNX file"),
    "an answer of 2**62 elements": (
        "test_data_set_0/output_0.pb",
        b"\x08" + b"\x80" * 8 + b"\x40\x10\x01",
        "no array",
    ),
    "a sequence where a tensor is": (
        "test_data_set_0/input_0.pb",
        b"\x10\x01\x1a\x00",
        "segment|tensor|fields|bytes",
    ),
    "a gap in the numbers": ("test_data_set_0/input_2.pb", b"", "numbers of its input files"),
    "an input too many": ("test_data_set_0/input_1.pb", b"", "input_1.pb: the graph has only 1"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_one_bad_case_leaves_the_archive_as_it_was_and_is_named(small, tree, what):
    path, data, why = BROKEN[what]
    (tree / "node/relu" / path).write_bytes(data)
    before = snapshot(small)
    with pytest.raises(NotImportable, match=why) as raised:
        run(small, tree)
    assert all("node/relu" in problem for problem in raised.value.problems)
    assert snapshot(small) == before


def snapshot(archive: Archive) -> dict[str, bytes]:
    return {p: (archive.root / p).read_bytes() for p in list_tree(archive.root) if not p.endswith(".lock")}


def test_bad_cases_are_left_out_on_request(small, tree):
    (tree / "node/relu/test_data_set_1/input_0.pb").write_bytes(b"\xff")
    done = run(small, tree, skip_bad=True)
    assert [r.version for r in done.refs] == [1, 2, 3]
    assert [name for name, _ in done.skipped] == ["node/relu/test_data_set_1"]
    assert verify(small).ok


def test_links_in_a_tree_are_refused(small, tree, tmp_path):
    file = tree / "node/relu/test_data_set_0/input_0.pb"
    outside = tmp_path / "secret"
    shutil.move(file, outside)
    file.symlink_to(outside)
    with pytest.raises(NotImportable, match="symbolic link"):
        run(small, tree)


def test_external_data_outside_is_refused_and_nothing_is_kept(small, tmp_path):
    model = relu()
    weight = tensor(np.zeros((2, 2), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    model.graph.initializer.append(weight)
    write_case(tmp_path / "case", model, [tensor(X)], [tensor(X)])
    before = snapshot(small)
    with pytest.raises(NotImportable, match="not a plain relative path"):
        run(small, tmp_path / "case")
    assert snapshot(small) == before


def test_fewer_answers_than_outputs_are_what_is_asked(small, tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    outs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 2]) for n in ("y", "z")]
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    write_case(tmp_path / "case", graph_of(nodes, [x], outs), [tensor(X)], [tensor(X.clip(0))])
    done = run(small, tmp_path / "case")
    assert read_metadata(small, done.refs[0]).model.options["outputs"] == ["y"]


def test_a_folder_without_cases_and_a_case_without_answers_are_named(small, tmp_path):
    with pytest.raises(NotImportable, match=r"no model\.onnx"):
        run(small, tmp_path)
    (tmp_path / "model.onnx").write_bytes(relu().SerializeToString())
    with pytest.raises(NotImportable, match="no test_data_set_0 beside it"):
        run(small, tmp_path)
    (tmp_path / "test_data_set_0").mkdir()
    with pytest.raises(NotImportable, match=r"no output_0\.pb"):
        run(small, tmp_path)


# --- a model file, with arrays beside it -----------------------------------------------------------


def test_an_onnx_file_takes_its_arrays_by_the_graphs_names(small, tmp_path):
    (tmp_path / "m.onnx").write_bytes(relu().SerializeToString())
    np.savez(tmp_path / "x.npz", x=X)
    (tmp_path / "y.csv").write_text("0,2\n3,0\n")
    done = run(small, tmp_path / "m.onnx", inputs=tmp_path / "x.npz", expected=tmp_path / "y.csv")
    inputs, outputs = arrays(small, done.refs[0])
    assert inputs["x"].tolist() == X.tolist()
    assert outputs["y"].dtype == np.float32
    assert read_metadata(small, done.refs[0]).reference.source == "m.onnx"
    np.savez(tmp_path / "z.npz", z=X)
    with pytest.raises(NotImportable, match=r"z\.npz can't(.|\n)*z: the graph's outputs are y"):
        run(small, tmp_path / "m.onnx", inputs=tmp_path / "x.npz", expected=tmp_path / "z.npz")


TREE = "tree\nversion=v2\nnum_class=1\n"


def test_a_lightgbm_file_is_asked_only_for_the_answers_that_are_known(small, tmp_path):
    (tmp_path / "m.txt").write_text(TREE)
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "y.csv").write_text("raw\n0.5\n0.25\n")
    done = run(small, tmp_path / "m.txt", inputs=tmp_path / "x.npy", expected=tmp_path / "y.csv")
    metadata = read_metadata(small, done.refs[0])
    assert metadata.framework.name == "lightgbm"
    assert metadata.model.options["outputs"] == ["predict"]
    assert arrays(small, done.refs[0])[1]["predict"].tolist() == [0.5, 0.25]
    np.savez(tmp_path / "y.npz", probability=np.zeros(2))
    with pytest.raises(NotImportable, match="answers are called predict, raw_score and leaf"):
        run(small, tmp_path / "m.txt", inputs=tmp_path / "x.npy", expected=tmp_path / "y.npz")


def test_an_xgboost_files_answers_are_float32(small, tmp_path):
    (tmp_path / "m.json").write_text('{"learner": {}, "version": [3, 2, 0]}')
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "y.csv").write_text("0.1\n0.2\n")
    done = run(small, tmp_path / "m.json", inputs=tmp_path / "x.npy", expected=tmp_path / "y.csv")
    assert arrays(small, done.refs[0])[1]["predict"].dtype == np.float32


def test_requests_that_make_no_sense_are_refused_before_anything_is_written(small, tree, tmp_path):
    before = snapshot(small)
    (tmp_path / "m.txt").write_text(TREE)
    with pytest.raises(BadRequest, match="its inputs and its answers are needed"):
        run(small, tmp_path / "m.txt")
    with pytest.raises(BadRequest, match="its own inputs"):
        run(small, tree, inputs=tmp_path / "x.npy")
    with pytest.raises(NotFound, match="no file"):
        run(small, tmp_path / "absent.onnx", inputs=tmp_path, expected=tmp_path)
    with pytest.raises(NotFound, match="no environment"):
        import_models(small, Request(tree, 7, "another"), no_engine)
    with pytest.raises(BadGridSize):
        import_models(small, Request(tree, 0, ENVIRONMENT), no_engine)
    assert snapshot(small) == before


# --- interrupted ------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from timeproof.testing.archives import ENVIRONMENT
from support.paths import child_environment
from timeproof.store.layout import Archive
from timeproof.importing.flow import Request, import_models

remaining = int(sys.argv[3])
def dying(call):
    def die_or_call(*words, **named):
        global remaining
        remaining -= 1
        if not remaining:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*words, **named)
    return die_or_call
os.rename, os.link = dying(os.rename), dying(os.link)  # the files, then the metadata
import_models(Archive(sys.argv[1]), Request(Path(sys.argv[2]), 7, ENVIRONMENT), lambda: None)
"""


@pytest.mark.parametrize("step", [1, 5, 8, 9, 10, 12])
def test_a_kill_at_any_move_leaves_whole_artifacts_and_the_same_import_brings_the_rest(small, tree, step):
    words = [sys.executable, "-c", KILLED, small.root, tree, str(step)]
    ended = subprocess.run(words, capture_output=True, check=False, env=child_environment())
    assert ended.returncode == -9, ended.stderr
    report = verify(small)
    assert report.ok, [f.message for f in report.findings]
    done = run(small, tree)
    cases = [read_metadata(small, r).tags["case"] for r in (*done.there, *done.refs)]
    assert sorted(cases) == ["bf16", "node/relu", "node/relu", "node/sequence"]
    report = verify(small)
    assert report.ok, [f.message for f in report.findings]
    assert not report.leftovers


def test_a_disk_that_refuses_leaves_nothing(small, tree, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    before = snapshot(small)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match="No space left") as raised:
        run(small, tree)
    assert raised.type.__name__ == "StorageFailed"
    assert snapshot(small) == before


def test_the_command_tells_what_it_did(small, tree, capsys, monkeypatch):
    from timeproof.cli.main import make_app

    monkeypatch.setenv("TIMEPROOF_ARCHIVE", str(small.root))
    with pytest.raises(SystemExit) as ended:
        make_app()(["import", str(tree), "-n", "7", "--env", ENVIRONMENT, "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["imported"] == [f"grid-size-7/onnx/v{n}" for n in (1, 2, 3, 4)]
    with pytest.raises(SystemExit) as ended:
        make_app()(["show", "grid-size-7/onnx/v2"])
    shown = capsys.readouterr().out
    assert "imported from zoo" in shown
    assert "sealed on" not in shown
