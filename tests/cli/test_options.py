"""What the commands refuse before they touch an engine, a network or an archive."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from timeproof.cli.archive_cmd import key_values
from timeproof.cli.main import make_app
from timeproof.errors import BadRequest
from timeproof.testing.archives import publish_environment


def call(*words: object):
    result = CliRunner().invoke(make_app(), [str(w) for w in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(autouse=True)
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")


def test_options_of_keys_and_values_are_read_once_each():
    assert key_values(["a=1", "b=x=y", "c="], "tag", "KEY=VALUE") == {"a": "1", "b": "x=y", "c": ""}
    assert key_values(None, "tag", "KEY=VALUE") == {}
    for text in ("a", "=1", ""):
        with pytest.raises(BadRequest, match="is not KEY=VALUE"):
            key_values([text], "tag", "KEY=VALUE")


def training(tmp_path: Path, value: str) -> Path:
    path = tmp_path / "option_training.py"
    path.write_text(f"def model_and_inputs():\n    return {value}\n")
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threshold", "rounding"], "the threshold 'rounding' is not NAME=NUMBER"),
        (["--threshold", "rounding=many"], "is not NAME=NUMBER"),
        (["--tag", "run"], "the tag 'run' is not KEY=VALUE"),
        (["--copy", "converted.onnx"], "the copy 'converted.onnx' is not FORMAT=PATH"),
        (["--expected", "nowhere.npy"], "there is no file nowhere.npy"),
    ],
)
def test_archive_refuses_an_option_by_its_value(tmp_path, options, words):
    path = training(tmp_path, "object(), [1.0]")
    result = call("archive", path, "-n", 8, "-a", tmp_path / "archive", *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert not (tmp_path / "archive").exists()


@pytest.fixture
def classifier() -> str:
    """The text of an expression that gives an XGBoost model."""
    pytest.importorskip("xgboost")
    return "__import__('xgboost').XGBClassifier()"


def test_a_function_that_returns_unknown_keys_is_told_the_known_ones(tmp_path, classifier):
    path = training(tmp_path, f"{{'model': {classifier}, 'inputs': 2, 'epochs': 3, 'tags': {{}}}}")
    result = call("archive", path, "-n", 8, "-a", tmp_path / "archive")
    assert result.exit_code == 2
    assert "returns unknown keys with its XGBoost model: epochs" in " ".join(result.stderr.split())
    assert "graph_optimization" in result.stderr


def test_an_unknown_level_of_graph_optimisation_is_told_the_levels(tmp_path, classifier):
    path = training(tmp_path, f"{classifier}, [1.0]")
    result = call("archive", path, "-n", 8, "-a", tmp_path / "archive", "--graph-optimization", "most")
    assert result.exit_code == 2
    assert "disable, basic, extended, all" in result.stderr


def test_a_lock_without_environment_yml_names_the_file(tmp_path):
    result = call("lock", tmp_path, "-a", tmp_path / "archive")
    assert result.exit_code == 2
    assert f"there is no {tmp_path / 'environment.yml'}" in result.stderr


def test_a_lock_of_an_interpreter_is_of_this_platform_only(tmp_path):
    (tmp_path / "environment.yml").write_text("name: x\nchannels: []\ndependencies: []\n")
    words = ["lock", tmp_path, "--python", sys.executable, "--platform", "osx-arm64"]
    result = call(*words, "-a", tmp_path / "archive")
    assert result.exit_code == 2
    assert "leave --platform out" in result.stderr
    assert not (tmp_path / "conda-lock.yml").exists()


def test_capture_keeps_an_existing_lock_without_force(tmp_path):
    (tmp_path / "conda-lock.yml").write_text("mine")
    result = call("capture", tmp_path, "-a", tmp_path / "archive")
    assert result.exit_code == 3
    assert "exists already" in result.stderr
    assert (tmp_path / "conda-lock.yml").read_text() == "mine"


@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
def test_build_stages_every_folder_and_lists_those_that_it_can_not(tmp_path, names):
    for name in names:
        (tmp_path / name).mkdir()
    folders = [tmp_path / name for name in names]
    words = ["build", *folders, "--stage", tmp_path / "contexts", "-a", tmp_path / "archive"]
    result = call(*words)
    assert result.exit_code == 4
    if len(names) == 1:
        assert "error (LockFailed)" in result.stderr
        return
    for folder in folders:
        assert f"not built {folder}" in result.stdout
        assert f"timeproof lock {folder}" in result.stdout
    document = json.loads(call(*words, "--json").stdout)
    assert document["built"] == []
    assert [failure["error"] for failure in document["failed"]] == ["LockFailed", "LockFailed"]


def test_push_names_what_is_missing(small, tmp_path):
    for words in (["--all"], ["small"], ["--all", "small", "--registry", "h/n"], ["--registry", "h/n"]):
        assert call("push", *words, "-a", small.root).exit_code == 2
    (tmp_path / "empty").mkdir()
    result = call("push", "--all", "--registry", "127.0.0.1:9/n", "-a", tmp_path / "empty")
    assert result.exit_code == 2
    assert "holds no" in result.stderr or "no archive" in result.stderr


def test_a_plan_is_printed_and_nothing_is_run(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it holds no lockfiles/
    publish_environment(small, "upgrade", "xgboost-3.0.0")
    words = ["regress", small.root, "--plan", "--out", tmp_path / "out"]
    text = call(*words)
    assert text.exit_code == 0, text.output
    assert "2 artifacts × 1 environments: 1 cells · 0 to build" in text.stdout
    assert "nothing: it is in the archive" in text.stdout
    plan = json.loads(call(*words, "--json").stdout)
    assert (plan["artifacts"], plan["packages_to_fetch"], plan["bytes_to_fetch"]) == (2, 0, 0)
    assert plan["environments"][0]["built"] is True
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [["--resume", "--again"], ["--fail-on", "nonsense"], ["--baseline", "nowhere.json"]]
)
def test_regress_refuses_options_before_it_plans(small, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    result = call("regress", small.root, "--out", tmp_path / "out", *words)
    assert result.exit_code == 2, result.output
    assert "what to do" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_process_ends_with_the_commands_code_and_runs_its_exit_functions():
    """Exit functions that a command registers run, and threads that are left do not keep the code."""
    code = (
        "import atexit, sys, threading, time\n"
        "import timeproof.cli.main as main\n"
        "make = main.make_app\n"
        "def making(words):\n"
        "    atexit.register(print, 'an exit function')\n"
        "    if 'thread' in words: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "    return make(words)\n"
        "main.make_app = making\n"
        "main.run()\n"
    )
    for words, status in ((["--version"], 0), (["show"], 2), (["show", "thread"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert "an exit function" in done.stdout
