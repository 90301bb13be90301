"""MLflow folders that are damaged, or made to harm: refused by name, and nothing of them is imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.mlflow_folders import copy, edit

from timeproof.errors import NotImportable
from timeproof.importing.mlflow.example import read_example
from timeproof.importing.mlflow.flavors import model_of
from timeproof.importing.mlflow.folder import MLMODEL_BYTES, ModelFolder
from timeproof.importing.mlflow.requirements import read_wanted


@pytest.fixture
def path(tmp_path) -> Path:
    return copy("xgboost_ubj", tmp_path)


def refusal(path: Path) -> str:
    """Read all that an import reads; the message of what refuses it."""

    def read() -> None:
        folder = ModelFolder.read(path)
        model_of(folder)
        read_example(folder, frame=False)
        read_wanted(folder)

    with pytest.raises(NotImportable) as caught:
        read()
    assert caught.value.exit_code == 5
    assert caught.value.advice
    assert "--skip-bad" not in caught.value.advice
    return caught.value.message


def bomb() -> str:
    lines = ['a0: &a0 ["lol"]']
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bomb(), "aliases are not accepted"),
        ("flavors: " + "[" * 100 + "]" * 100, "levels of nesting"),
        ("flavors: {}\nflavors: {}\n", "stands twice"),
        ("flavors: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("flavors: [xgboost]\n", "names no flavors"),
        ("flavors: {xgboost: model.ubj}\n", "names no flavors"),
        ("just text\n", "names no flavors"),
        ("", "names no flavors"),
        ("flavors: {xgboost: {data: 1\n", "is malformed"),
        ("flavors: {spark: {}, python_function: {}}\n", "its flavor is spark"),
        ("flavors: {}\n", "its flavor is"),
        ("flavors: {xgboost: {}}\n", "does not name the model's file"),
    ],
)
def test_an_mlmodel_file_that_is_none_is_refused(path, text, reason):
    (path / "MLmodel").write_text(text)
    assert reason in refusal(path)


def test_a_huge_mlmodel_file_is_not_read_to_its_end(path):
    with (path / "MLmodel").open("wb") as stream:
        stream.truncate(MLMODEL_BYTES + 1)
    assert f"more than {MLMODEL_BYTES} bytes" in refusal(path)


def test_an_mlmodel_file_that_is_not_text_is_refused(path):
    (path / "MLmodel").write_bytes(b"\xff\xff\x00flavors")
    assert "is malformed" in refusal(path)


@pytest.mark.parametrize("version", ["4.0.0", "31.2", "99999999999999999999.0"])
def test_a_folder_of_a_later_mlflow_is_refused_with_its_version(path, version):
    assert f"MLflow {version} wrote it" in refusal(edit(path, {"mlflow_version": version}))


@pytest.mark.parametrize(
    "place",
    [
        "../model.ubj",
        "/etc/passwd",
        "data/../../x",
        "C:\\x",
        "",
        ".",
        "x\x00y",
        7,
        ["a"],
        "a" * 5000,
        "\u202e.ubj",
    ],
)
def test_a_model_path_out_of_the_folder_is_refused(path, tmp_path, place):
    (tmp_path / "model.ubj").write_bytes(b"outside")
    message = refusal(edit(path, {"flavors.xgboost.data": place}))
    assert "flavors.xgboost.data" in message or "does not name" in message


@pytest.mark.parametrize("place", ["../../secret.json", "/etc/hostname"])
def test_an_example_out_of_the_folder_is_refused(path, place):
    message = refusal(edit(path, {"saved_input_example_info.artifact_path": place}))
    assert "saved_input_example_info.artifact_path" in message


@pytest.mark.parametrize(
    "name", ["MLmodel", "model.ubj", "input_example.json", "requirements.txt", "conda.yaml"]
)
def test_links_are_never_followed(path, tmp_path, name):
    (path / name).rename(tmp_path / "outside")
    (path / name).symlink_to(tmp_path / "outside")
    assert "a symbolic link" in refusal(path)


def test_a_pipe_in_place_of_the_model_does_not_hang(path):
    (path / "model.ubj").unlink()
    os.mkfifo(path / "model.ubj")
    assert "a named pipe" in refusal(path)


def test_a_link_inside_a_models_folder_is_refused(tmp_path):
    path = copy("pytorch_pickle", tmp_path)
    (path / "data" / "more").symlink_to("/etc/hostname")
    assert "a symbolic link" in refusal(path)


@pytest.mark.parametrize("name", ["model.ubj", "input_example.json"])
def test_a_missing_file_is_named(path, name):
    (path / name).unlink()
    assert f"{path / name} is missing" in refusal(path)


def test_modules_that_the_folder_names_are_never_imported(path, monkeypatch):
    (path / "code").mkdir()
    (path / "code" / "evil_loader.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(path / "code"))
    edit(path, {"flavors.python_function.loader_module": "evil_loader", "flavors.xgboost.code": "code"})
    model = model_of(ModelFolder.read(path))
    assert "evil_loader" not in sys.modules
    assert [note for note in model.notes if "evil_loader, which is not imported" in note]
    assert [note for note in model.notes if "code/ on the path; nothing of it is imported" in note]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[1, 2", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[[1, 2], [3]]", "not what its type says"),
        ('[["a", "b", "c", "d"]]', "not what its type says"),
        ('{"x": [[1, 2, 3, 4]], "y": {"z": 1}}', "not what its type says"),
        ("{}", "it is empty"),
        ("[[1e999, 2, 3, 4], {}]", "not what its type says"),
        (f"[[{'9' * 400}, 2, 3, 4]]", "not what its type says"),
    ],
)
def test_an_example_that_is_no_array_is_refused(path, text, reason):
    (path / "input_example.json").write_text(text)
    assert reason in refusal(path)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("dataframe", '{"columns": ["a"], "data": [[1, 2]]}'),
        ("dataframe", '{"columns": ["a"], "data": []}'),
        ("dataframe", '{"columns": ["a"]}'),
        ("dataframe", '{"columns": [["a"]], "data": [[1]]}'),
        ("dataframe", "7"),
        ("sparse_matrix_csr", '{"data": [1], "indices": [9], "indptr": [0, 1], "shape": [1, 4]}'),
        ("sparse_matrix_csr", '{"data": [1], "indices": [0], "indptr": [0, 1], "shape": [10000000000, 4]}'),
        ("sparse_matrix_csr", '{"data": [1]}'),
        ("pickle", "[[1, 2, 3, 4]]"),
    ],
)
def test_an_example_that_is_not_what_its_type_says_is_refused(path, kind, text):
    pytest.importorskip("scipy")
    (path / "input_example.json").write_text(text)
    assert "input_example.json" in refusal(edit(path, {"saved_input_example_info.type": kind}))


@pytest.mark.parametrize(
    "schema",
    [
        "not json",
        '{"type": "double"}',
        "[1]",
        '[{"type": "tensor"}]',
        '[{"type": "tensor", "name": 3}]',
        '[{"type": "tensor", "tensor-spec": {"dtype": "V999999999999", "shape": [-1, 4]}}]',
    ],
)
def test_a_signature_that_is_none_is_refused(path, schema):
    assert "signature.inputs" in refusal(edit(path, {"signature.inputs": schema}))


@pytest.mark.parametrize("field", ["signature", "saved_input_example_info"])
def test_a_field_of_another_kind_is_named(path, field):
    assert f"{field} is 'text', not a mapping" in refusal(edit(path, {field: "text"}))


def test_text_that_a_terminal_would_obey_is_not_repeated(path):
    message = refusal(edit(path, {"flavors": {"\x1b[2Jevil": {}}}))
    assert "\x1b" not in message
    assert "evil" in message


@pytest.mark.parametrize("python", ["3.11; rm -rf /", "latest", "3", 3.11, None])
def test_a_python_that_is_no_version_is_refused(path, python):
    for name in ("python_env.yaml", "conda.yaml"):
        (path / name).unlink()
    assert "which Python" in refusal(edit(path, {"flavors.python_function.python_version": python}))
