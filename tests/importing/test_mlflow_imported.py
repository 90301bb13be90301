"""MLflow folders imported whole: the probe runs here, in no container, and its answers are MLflow's own."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from support.mlflow_folders import answer, copy, edit, folder
from typer.testing import CliRunner

from timeproof.base.progress import SILENT
from timeproof.cli.main import make_app
from timeproof.errors import BadRequest, LockFailed, NotImportable, SealFailed
from timeproof.importing.flow import Request as KnownRequest
from timeproof.importing.flow import import_models
from timeproof.importing.mlflow import environment as making
from timeproof.importing.mlflow.flow import Request, import_folder
from timeproof.importing.mlflow.folder import ModelFolder
from timeproof.importing.mlflow.requirements import read_wanted
from timeproof.store.layout import Archive
from timeproof.store.read import read_metadata
from timeproof.store.reference import read as read_reference
from timeproof.store.verify import verify
from timeproof.testing.archives import ENVIRONMENT, engine, publish_environment

pytest.importorskip("xgboost")
pytest.importorskip("lightgbm")
pytest.importorskip("onnxruntime")

WHEELS = {"xgboost": "xgboost-3.2.0", "lightgbm": "lightgbm-4.7.0", "onnx": "onnxruntime-1.32.0"}


def run(archive: Archive, path, framework: str, **more):
    name = f"for{framework}"
    present = [n for n in archive.environment_names() if n.startswith(name)]
    environment = present[0] if present else publish_environment(archive, name, WHEELS[framework]).folder
    runner = engine()
    fields = {"source": path, "grid_size": 8, "environment": environment, **more}
    return import_folder(archive, Request(**fields), lambda: runner)


def leftovers(archive: Archive, framework: str) -> list[str]:
    """What a refused import left in the archive, beside the artifact that a small archive has."""
    report = verify(archive)
    assert report.ok
    return [*map(str, report.leftovers), *(f"v{n}" for n in archive.versions(8, framework)[1:])]


def outputs(archive: Archive, ref) -> dict[str, np.ndarray]:
    metadata = read_metadata(archive, ref)
    path = archive.root / ref.folder / metadata.file("reference").path
    with path.open("rb") as stream:
        return read_reference(stream, metadata.outputs, path)


@pytest.mark.parametrize(
    ("name", "framework", "release"),
    [("xgboost_ubj", "xgboost", "3.17.2"), ("xgboost_frame", "xgboost", "3.18.0")],
)
def test_the_answer_of_trees_is_that_of_mlflow(small, name, framework, release):
    done = run(small, folder(name, release), framework)
    assert done.archived is not None
    predict = outputs(small, done.archived.ref)["predict"]
    assert np.array_equal(predict, np.array(answer(name, release), predict.dtype))


def test_the_answer_of_a_graph_is_that_of_mlflow(small):
    done = run(small, folder("onnx_two_inputs", "3.17.2"), "onnx")
    assert done.archived is not None
    (total,) = outputs(small, done.archived.ref).values()
    assert np.array_equal(total, np.float32(answer("onnx_two_inputs", "3.17.2")["sum"]))


def test_the_metadata_says_where_the_model_comes_from_and_the_same_folder_again_adds_nothing(small):
    first = run(small, folder("lightgbm"), "lightgbm", tags={"run": "7"})
    assert first.archived is not None
    metadata = read_metadata(small, first.archived.ref)
    assert metadata.reference.origin == "sealed"
    tags = dict(metadata.tags)
    assert (tags.pop("mlflow.version"), tags.pop("mlflow.flavor"), tags.pop("run")) == (
        "3.18.0",
        "lightgbm",
        "7",
    )
    assert set(tags) == {
        *("mlflow.framework_version", "mlflow.model_class", "mlflow.model_uuid", "mlflow.mlmodel_sha256"),
        "mlflow.import_sha256",
    }
    assert any("written by MLflow 3.18.0" in note for note in metadata.notes)
    predict = outputs(small, first.archived.ref)["predict"]
    assert np.array_equal(predict, np.array(answer("lightgbm")))
    again = run(small, folder("lightgbm"), "lightgbm")
    assert (again.archived, again.earlier) == (None, first.archived.ref)


def test_inputs_of_the_user_replace_an_example_that_is_not_there(small, tmp_path):
    np.save(tmp_path / "x.npy", np.float32([[1, 2, 3, 4]]))
    done = run(small, folder("xgboost_no_example"), "xgboost", inputs=tmp_path / "x.npy")
    assert done.archived is not None


def test_expected_answers_that_the_container_does_not_give_publish_nothing(small, tmp_path):
    right = np.array(answer("lightgbm"))
    np.save(tmp_path / "wrong.npy", right + 0.25)
    with pytest.raises(SealFailed):
        run(small, folder("lightgbm"), "lightgbm", expected=tmp_path / "wrong.npy")
    assert not leftovers(small, "lightgbm")


def test_columns_in_another_order_than_the_models_are_refused(small, tmp_path):
    path = copy("lightgbm", tmp_path)
    model = path / "model.lgb"
    named = model.read_text().replace("Column_0 Column_1 Column_2 Column_3", "a b c d")
    model.write_text(named)
    rows = {"columns": ["b", "a", "c", "d"], "data": [[1.0, 2.0, 3.0, 4.0]]}
    (path / "input_example.json").write_text(json.dumps(rows))
    edit(path, {"saved_input_example_info.type": "dataframe", "signature": None})
    with pytest.raises(NotImportable, match="in another order"):
        run(small, path, "lightgbm")
    assert not leftovers(small, "lightgbm")


def test_an_environment_without_the_framework_is_refused(small):
    with pytest.raises(LockFailed, match="holds no xgboost") as caught:
        run(small, folder("xgboost_ubj"), "xgboost", environment=ENVIRONMENT)
    assert caught.value.exit_code == 4
    assert not leftovers(small, "xgboost")


def test_an_interpreter_beside_an_environment_is_refused(small, tmp_path):
    with pytest.raises(BadRequest, match="both named"):
        run(small, folder("xgboost_ubj"), "xgboost", python=tmp_path)


def test_without_an_environment_one_is_made_once_of_the_requirements(small, monkeypatch):
    requests: list[str] = []

    def build(archive, lock, text, name, **_):
        requests.append(text)
        return publish_environment(archive, name, "xgboost-3.2.0")

    monkeypatch.setattr(making, "lock_from_interpreter", lambda *_: object())
    monkeypatch.setattr(making, "build_environment", build)
    read = ModelFolder.read(folder("xgboost_ubj"))
    wanted = read_wanted(read)
    make = partial(making.environment_of, small, read, wanted, None, engine, SILENT)
    first, notes = make()
    assert "- xgboost-cpu==3.2.0" in requests[0]
    assert "- mlflow" not in requests[0]
    assert notes[:2] == wanted.notes
    monkeypatch.setattr(making, "read_lock_folder", lambda _: (object(), requests[0]))
    monkeypatch.setattr(making, "holds_present_probe", lambda _: True)
    again, _ = make()
    assert (again.folder, len(requests)) == (first.folder, 1)


def test_requirements_without_a_solution_are_reported_by_the_folders_own_file(small, monkeypatch):
    def fail(request, *_):
        raise LockFailed(f"pip found no solution for {request}")

    monkeypatch.setattr(making, "lock_from_interpreter", fail)
    with pytest.raises(LockFailed, match=r"onnx/requirements\.txt") as caught:
        run(small, folder("onnx"), "onnx", environment=None)
    assert "--env" in caught.value.advice
    assert not leftovers(small, "onnx")


def test_the_command_refuses_options_of_the_other_kind_of_import(small, tmp_path):
    def call(*words):
        return CliRunner().invoke(make_app(), ["import", *(str(w) for w in words), "-a", str(small.root)])

    strange = call(folder("xgboost_ubj"), "-n", 8, "--trees", 3)
    assert (strange.exit_code, "--trees is not for model folders" in strange.output) == (2, True)
    (tmp_path / "m.txt").write_text("tree\n")
    python = call(tmp_path / "m.txt", "-n", 8, "--env", ENVIRONMENT, "--python", "python3")
    assert (python.exit_code, "--python is for model folders" in python.output) == (2, True)
    nowhere = call(tmp_path / "m.txt", "-n", 8)
    assert (nowhere.exit_code, "add --env" in nowhere.output) == (2, True)


def test_the_importer_of_known_answers_sends_a_folder_of_mlflow_to_the_other_one(small):
    request = KnownRequest(folder("onnx"), 8, ENVIRONMENT)
    with pytest.raises(BadRequest, match="is a model folder of MLflow") as caught:
        import_models(small, request, engine)
    assert "timeproof.mlflow.import_folder" in caught.value.advice


def test_a_refusal_as_json_names_the_folder_and_what_to_do(small):
    words = ["import", str(folder("xgboost_no_example")), "-n", "8", "-a", str(small.root), "--json"]
    done = CliRunner().invoke(make_app(), words)
    facts = json.loads(done.stdout)
    assert (done.exit_code, facts["error"], facts["path"]) == (5, "NotImportable", words[1])
    assert "--inputs" in facts["advice"]
    assert not leftovers(small, "xgboost")
