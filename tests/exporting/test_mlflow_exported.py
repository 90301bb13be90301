"""Artifacts as MLflow folders: what stands in them, and that our own import reads the same out of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.archive_making import small_archive
from typer.testing import CliRunner

from timeproof.cli.main import make_app
from timeproof.errors import BadArchive, BadRequest, NotFound
from timeproof.exporting.flow import export
from timeproof.exporting.mlflow_flavors import Exported, NotExportable, flavor_of
from timeproof.importing.mlflow.example import read_example
from timeproof.importing.mlflow.flavors import model_of
from timeproof.importing.mlflow.folder import ModelFolder
from timeproof.importing.mlflow.requirements import read_wanted
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.testing.archives import seal

xgboost = pytest.importorskip("xgboost")


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Archive:
    """An archive with one real model: a Booster with names, asked with missing values."""
    archive = small_archive(tmp_path_factory.mktemp("exported") / "archive")
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(40, 3)).astype(np.float32)
    rows[0, 0] = np.nan
    data = xgboost.DMatrix(rows, label=(rows[:, 1] > 0).astype(int), feature_names=["a", "b", "c"])
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2, "nthread": 1}, data, 4)
    seal(archive, booster, rows[:5], grid_size=2)
    return archive


REF = Ref(2, "xgboost", 1)


def _frame(kind: str, dtype: str = "float64", **more: object) -> dict[str, object]:
    part = {"columns": [0], "kind": kind, "dtype": dtype, **more}
    return {"kind": "frame", "columns": ["a"], "parts": [part]}


def exported_from(archive: Archive, **options: object) -> Exported:
    metadata = read_metadata(archive, REF)
    exported = Exported(metadata, "xgboost", metadata.model.file, metadata.model.options, {})
    return replace(exported, options={**exported.options, **options})


def test_a_folder_is_read_back_with_the_archived_inputs(archive, tmp_path):
    done = export(archive, REF, tmp_path / "folder")
    assert (done.flavor, done.output, done.column) == ("xgboost", "predict", None)
    folder = ModelFolder.read(tmp_path / "folder")
    model = model_of(folder)
    assert (model.flavor.name, model.file, model.spec.name) == ("xgboost", "model.json", "xgboost")
    metadata = read_metadata(archive, REF)
    copied = (folder.root / model.file).read_bytes()
    assert copied == (archive.root / REF.folder / metadata.model.file).read_bytes()
    example = read_example(folder, frame=False)
    assert example.columns == ("a", "b", "c")
    assert example.inputs.dtype == np.float32
    assert np.isnan(example.inputs[0, 0])
    assert np.isnan(example.inputs).sum() == 1
    wanted = read_wanted(folder)
    assert (wanted.requirements, wanted.python) == (("thing==1.0",), metadata.framework.python)


def test_the_same_artifact_gives_the_same_folder(archive, tmp_path):
    for name in ("one", "two"):
        export(archive, REF, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == [
        *("MLmodel", "conda.yaml", "input_example.json", "model.json", "python_env.yaml", "requirements.txt"),
        "serving_input_example.json",
    ]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_mlmodel_file_names_the_artifact_and_its_lock(archive, tmp_path):
    export(archive, REF, tmp_path / "folder")
    value = yaml.safe_load((tmp_path / "folder" / "MLmodel").read_text())
    metadata = read_metadata(archive, REF)
    assert value["metadata"]["timeproof"]["artifact"] == "grid-size-2/xgboost/v1"
    assert value["metadata"]["timeproof"]["lock_sha256"] == metadata.environment.lock_sha256
    columns = json.loads(value["signature"]["inputs"])
    assert [(column["name"], column["type"]) for column in columns] == [
        ("a", "float"),
        ("b", "float"),
        ("c", "float"),
    ]


def test_rounds_of_a_training_that_stopped_early_are_a_parameter_of_predict(archive):
    flavor = flavor_of(exported_from(archive, iteration_range=[0, 3]))
    assert flavor.parameters == {"iteration_range": [0, 3]}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"missing": -1.0}, "missing values are -1.0"),
        ({"probability": "softmax"}, "MLflow's predict gives classes"),
        ({"feature_types": ["float", "c"]}, "categorical features"),
        ({"sparse": {"format": "csr", "shape": [1, 3]}}, "a sparse matrix"),
    ],
)
def test_what_mlflow_can_not_be_told_is_refused(archive, options, reason):
    with pytest.raises(NotExportable, match=reason) as caught:
        flavor_of(exported_from(archive, **options))
    assert caught.value.exit_code == 5
    assert caught.value.advice


def test_a_pytorch_model_is_refused_and_a_copy_that_is_not_there_named(archive, tmp_path):
    with pytest.raises(NotExportable, match=r"a pickle or an exported program"):
        flavor_of(replace(exported_from(archive), framework="pytorch"))
    with pytest.raises(NotFound, match="no copy called 'onnx'"):
        export(archive, REF, tmp_path / "folder", copy="onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("framework", "options", "reason"),
    [
        ("onnx", {"graph_optimization": "disable"}, "graph optimisation is 'disable'"),
        ("onnx", {"feeds": []}, "sequences, optionals"),
        ("lightgbm", {"num_iteration": 2, "trees": {"used": 2, "of": 5}}, "2 of its 5 rounds"),
        ("lightgbm", {"predict_parameters": {"pred_early_stop": True}}, "predict takes parameters"),
        ("catboost", {"predict": "Exponent"}, "classes or raw values"),
        ("sklearn", {"form": {"kind": "objects"}}, "its table has categories, dates"),
        ("sklearn", {"form": _frame("category")}, "its table has categories, dates"),
        ("sklearn", {"form": _frame("numbers", missing=True)}, "its table has categories, dates"),
        ("sklearn", {"form": _frame("numbers", dtype="datetime64[ns]")}, "its table has categories, dates"),
    ],
)
def test_what_another_flavor_can_not_say_is_refused(archive, framework, options, reason):
    with pytest.raises(NotExportable, match=reason):
        flavor_of(replace(exported_from(archive), framework=framework, options=options))


def test_the_columns_of_a_table_are_put_in_their_order_from_where_they_lie(archive):
    parts = [{"columns": [0, 2], "kind": "numbers"}, {"columns": [1], "kind": "text", "dtype": "str"}]
    form = {"kind": "frame", "columns": ["a", "b", "c"], "parts": parts}
    exported = replace(exported_from(archive), framework="sklearn", options={"form": form, "types": ["t"]})
    flavor = flavor_of(exported)
    assert (flavor.columns, flavor.places) == (("a", "b", "c"), ((0, 0), (1, 0), (0, 1)))
    assert flavor.configuration["skops_trusted_types"] == ["t"]
    assert (flavor.serving["predict_fn"], flavor.output) == ("predict", "predict")


def test_a_graph_is_asked_with_the_threads_and_the_optimisation_of_the_artifact(archive):
    exported = replace(exported_from(archive), framework="onnx", file="model_onnx_v1.onnx", options={})
    session = flavor_of(exported).configuration["onnx_session_options"]
    assert session == {
        "graph_optimization_level": 1,
        "execution_mode": "sequential",
        "intra_op_num_threads": exported.metadata.profile.threads,
        "inter_op_num_threads": 1,
    }


def test_an_altered_model_file_is_not_exported(archive, tmp_path):
    from support.archive_making import copy_archive

    damaged = Archive(copy_archive(archive.root, tmp_path / "archive"))
    metadata = read_metadata(damaged, REF)
    path = damaged.root / REF.folder / metadata.model.file
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data.replace(b"learner", b"learned", 1))
    with pytest.raises(BadArchive):
        export(damaged, REF, tmp_path / "out" / "folder")
    assert not list((tmp_path / "out").glob("*"))


def test_a_target_that_exists_and_an_unknown_format_are_refused(archive, tmp_path):
    with pytest.raises(BadRequest, match="exists already"):
        export(archive, REF, tmp_path)
    with pytest.raises(BadRequest, match="no format to export to"):
        export(archive, REF, tmp_path / "folder", form="bentoml")


def test_the_command_says_which_output_mlflow_gives(archive, tmp_path):
    def call(*words: object):
        where = ["-a", str(archive.root)]
        return CliRunner().invoke(make_app(), ["export", *(str(w) for w in words), *where])

    done = call("grid-size-2/xgboost", "--to", tmp_path / "a")
    assert (done.exit_code, "MLflow's predict gives the output predict" in done.output) == (0, True)
    facts = json.loads(call("grid-size-2/xgboost/v1", "--to", tmp_path / "b", "--json").stdout)
    assert facts == {
        "artifact": "grid-size-2/xgboost/v1",
        "path": str(tmp_path / "b"),
        "flavor": "xgboost",
        "output": "predict",
        "column": None,
        "copy": None,
    }
    assert Path(tmp_path / "b" / "MLmodel").is_file()
    assert call("grid-size-2/xgboost/v9", "--to", tmp_path / "c").exit_code == 2
