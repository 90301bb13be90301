"""What is read of folders that real releases of MLflow wrote: the model, its inputs, its environment."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.mlflow_folders import RELEASES, copy, edit, folder

from timeproof.errors import NotImportable
from timeproof.importing.mlflow.example import Example, read_example
from timeproof.importing.mlflow.flavors import FLAVORS, model_of
from timeproof.importing.mlflow.flow import is_model_folder
from timeproof.importing.mlflow.folder import ModelFolder
from timeproof.importing.mlflow.gathering import gathered
from timeproof.importing.mlflow.requirements import read_wanted

# Folder, its framework, its model file.
MODELS = [
    ("xgboost_ubj", "xgboost", "model.ubj"),
    ("xgboost_json", "xgboost", "model.json"),
    ("xgboost_frame", "xgboost", "model.ubj"),
    ("xgboost_wrapper", "xgboost", "model.ubj"),
    ("lightgbm", "lightgbm", "model.lgb"),
    ("onnx", "onnx", "model.onnx"),
    ("onnx_two_inputs", "onnx", "model.onnx"),
    ("catboost", "catboost", "model.cb"),
    ("sklearn_skops", "sklearn", "model.skops"),
    ("pytorch_pt2", "torch_export", "data/model.pt2"),
]


def example_of(path: Path, *, frame: bool = False) -> Example:
    return read_example(ModelFolder.read(path), frame=frame)


def refusal(path: Path) -> NotImportable:
    def read() -> Example:
        model = model_of(ModelFolder.read(path))
        return read_example(ModelFolder.read(path), frame=model.frame)

    with pytest.raises(NotImportable) as caught:
        read()
    return caught.value


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("name", "framework", "file"), MODELS)
def test_the_model_of_each_release_is_its_own_file(name, framework, file, release):
    path = folder(name, release)
    assert is_model_folder(path)
    read = ModelFolder.read(path)
    model = model_of(read)
    assert (model.spec.name, model.file, read.mlflow_version) == (framework, file, release)
    classes = name in {"xgboost_wrapper", "catboost"}
    assert [note for note in model.notes if "gives the classes of a" in note] == list(model.notes)
    assert len(model.notes) == classes


def test_a_pipelines_model_and_tokenizer_are_gathered_into_one_folder():
    read = ModelFolder.read(folder("transformers"))
    model = model_of(read)
    assert (model.spec.name, model.file, model.beside) == (
        "transformers",
        "model",
        ("components/tokenizer",),
    )
    with gathered(read, model) as path:
        assert sorted(p.name for p in path.iterdir()) == [
            *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        ]
    assert not path.exists()
    example = example_of(folder("transformers"))
    assert list(example.inputs) == ["a good film", "the bad film"]
    assert [note for note in model.notes if "TextClassificationPipeline" in note]


@pytest.mark.parametrize("flavor", ["tensorflow", "keras"])
@pytest.mark.parametrize("form", ["model.keras", "model"])
def test_a_keras_file_and_a_saved_model_are_found_in_the_folder_data(tmp_path, flavor, form):
    path = edit(copy("xgboost_ubj", tmp_path), {"flavors": {flavor: {"data": "data"}}})
    model = path / "data" / form
    model.parent.mkdir()
    if form == "model":
        model.mkdir()
        (model / "saved_model.pb").write_bytes(b"")
    else:
        with zipfile.ZipFile(model, "w") as archive:
            for name in ("metadata.json", "config.json", "model.weights.h5"):
                archive.writestr(name, "{}")
    flavored = model_of(ModelFolder.read(path))
    assert (flavored.spec.name, flavored.file) == ("tensorflow", f"data/{form}")


def test_two_files_of_one_name_are_not_gathered(tmp_path):
    path = copy("transformers", tmp_path)
    (path / "components/tokenizer/config.json").write_text("{}")
    read = ModelFolder.read(path)
    with (
        pytest.raises(NotImportable, match="another file of that name"),
        gathered(read, model_of(read)),
    ):
        pass


@pytest.mark.parametrize("release", RELEASES)
def test_an_array_has_the_dtype_of_the_signature(release):
    example = example_of(folder("xgboost_ubj", release))
    assert (example.inputs.dtype, example.inputs.shape, example.columns) == (np.dtype("<f4"), (6, 4), ())


def test_a_table_of_numbers_is_an_array_and_names():
    example = example_of(folder("xgboost_frame"))
    assert (example.inputs.dtype, example.inputs.shape) == (np.dtype("<f8"), (6, 4))
    assert example.columns == ("a", "b", "c", "d")


def test_arrays_by_name_keep_their_names():
    example = example_of(folder("onnx_two_inputs"))
    assert {name: array.shape for name, array in example.inputs.items()} == {"left": (6, 4), "right": (6, 4)}


def test_null_among_numbers_is_nan(tmp_path):
    path = copy("xgboost_ubj", tmp_path)
    (path / "input_example.json").write_text("[[1.5, null, 2, 3], [NaN, 1, 2, Infinity]]")
    rows = example_of(path).inputs
    assert np.array_equal(rows, np.float32([[1.5, np.nan, 2, 3], [np.nan, 1, 2, np.inf]]), equal_nan=True)


def test_a_column_of_integers_with_null_becomes_float64(tmp_path):
    columns = '[{"type": "integer", "name": "a"}, {"type": "long", "name": "b"}]'
    path = edit(copy("xgboost_frame", tmp_path), {"signature.inputs": columns})
    (path / "input_example.json").write_text('{"columns": ["a", "b"], "data": [[1, null], [2, 3]]}')
    rows = example_of(path).inputs
    assert np.array_equal(rows, [[1.0, np.nan], [2.0, 3.0]], equal_nan=True)


def test_the_example_of_older_releases_lies_below_inputs(tmp_path):
    path = copy("xgboost_ubj", tmp_path)
    (path / "input_example.json").write_text('{"inputs": [[1, 2, 3, 4]]}')
    assert np.array_equal(example_of(path).inputs, np.float32([[1, 2, 3, 4]]))


@pytest.mark.parametrize(
    ("name", "reason", "advice"),
    [
        ("own_code", "a model of your own code", "log that model with one of these flavors"),
        ("sklearn_pickle", "a pickle of sklearn", "serialization_format='skops'"),
        ("pytorch_pickle", "pickled objects", "serialization_format='pt2'"),
        ("xgboost_no_example", "no input example", "--inputs X.npy"),
    ],
)
@pytest.mark.parametrize("release", RELEASES)
def test_what_does_not_last_is_refused_with_a_way_that_works(name, reason, advice, release):
    error = refusal(folder(name, release))
    assert reason in error.message
    assert advice in error.advice
    assert error.exit_code == 5


def test_an_example_with_parameters_of_predict_is_refused(tmp_path):
    path = edit(copy("xgboost_ubj", tmp_path), {"saved_input_example_info.params": "true"})
    assert "parameters of predict" in refusal(path).message


def test_the_flavor_that_the_user_names_is_taken(tmp_path):
    path = copy("xgboost_ubj", tmp_path)
    edit(path, {"flavors.onnx": {"data": "net.onnx"}})
    (path / "net.onnx").write_bytes((folder("onnx") / "model.onnx").read_bytes())
    read = ModelFolder.read(path)
    assert model_of(read).flavor.name == "xgboost"
    assert model_of(read, "onnx").file == "net.onnx"
    with pytest.raises(NotImportable, match="no flavor 'catboost', only onnx, python_function, xgboost"):
        model_of(read, "catboost")


def test_each_flavor_stands_once_in_the_table():
    names = [flavor.name for flavor in FLAVORS]
    assert len(set(names)) == len(names)


def test_requirements_are_taken_without_mlflow_and_without_a_module_twice():
    wanted = read_wanted(ModelFolder.read(folder("xgboost_ubj")))
    lines = (folder("xgboost_ubj") / "requirements.txt").read_text().split()
    assert "mlflow==3.18.0" in lines
    assert list(wanted.requirements) == [
        line for line in lines if not line.startswith(("mlflow==", "xgboost=="))
    ]
    assert (wanted.python, wanted.file, len(wanted.notes)) == ("3.11.7", "requirements.txt", 2)
    assert "without mlflow" in wanted.notes[0]
    assert "xgboost is left out" in wanted.notes[1]


def test_without_requirements_txt_those_of_conda_yaml_are_taken(tmp_path):
    path = copy("onnx", tmp_path)
    (path / "requirements.txt").unlink()
    (path / "python_env.yaml").unlink()
    edit(path, {"flavors.python_function": None})
    wanted = read_wanted(ModelFolder.read(path))
    assert wanted.file == "conda.yaml"
    assert "onnxruntime==1.32.0" in wanted.requirements
    assert wanted.python == "3.11.7"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--extra-index-url https://example.org/simple", "an option of pip"),
        ("-e .", "an option of pip"),
        ("thing @ https://example.org/thing.whl", "taken from an address"),
        ("./thing.whl", "no requirement by name"),
    ],
)
def test_a_requirement_that_is_no_name_is_refused_by_its_line(tmp_path, line, reason):
    path = copy("onnx", tmp_path)
    (path / "requirements.txt").write_text(f"numpy==2.4.6  # arrays\n\n{line}\n")
    with pytest.raises(NotImportable, match=reason) as caught:
        read_wanted(ModelFolder.read(path))
    assert "--env" in caught.value.advice


def test_a_folder_that_names_no_requirements_wants_an_environment_from_the_user(tmp_path):
    path = copy("onnx", tmp_path)
    (path / "requirements.txt").unlink()
    (path / "conda.yaml").unlink()
    with pytest.raises(NotImportable, match="names no requirements") as caught:
        read_wanted(ModelFolder.read(path))
    assert "--env" in caught.value.advice


def test_the_request_for_a_lock_is_the_same_each_time():
    wanted = read_wanted(ModelFolder.read(folder("onnx")))
    text = wanted.environment_yml("3.11.7")
    assert text == read_wanted(ModelFolder.read(folder("onnx"))).environment_yml("3.11.7")
    assert "- python=3.11.7\n- pip\n- pip:\n" in text
