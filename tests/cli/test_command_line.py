"""The command line: help, JSON, exit codes, and errors that say what to do."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import HANG_SECONDS
from typer.testing import CliRunner

from timeproof.cli.main import make_app
from timeproof.store.layout import Archive

COMMANDS = [
    "archive", "import", "replay", "regress", "verify", "ls", "show", "capture", "lock", "build", "push",
    "pull", "doctor", "glossary",
]  # fmt: skip
FRAMEWORKS = ["torch", "xgboost", "lightgbm", "onnx", "onnxruntime", "sklearn"]
run = CliRunner()


def call(*words: str | Path):
    result = run.invoke(make_app(), [str(w) for w in words])
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"timeproof {command}" in result.output
    assert "--json" in result.output


def test_the_exit_codes_are_documented_in_the_help() -> None:
    text = " ".join(call("--help").output.split())
    for words in ("0 all is well", "2 bad request", "3 bad archive", "6 the engine", "130 interrupted"):
        assert words in text


@pytest.mark.parametrize("size", ["0", "-3", "2.5", "abc", "True", "", "８"])
def test_a_bad_grid_size_is_a_bad_request(size: str, tmp_path: Path) -> None:
    result = call("archive", "train.py", f"--grid-size={size}", "-a", tmp_path / "new")
    assert result.exit_code == 2
    assert "positive whole number" in result.stderr
    assert not (tmp_path / "new").exists()


def test_grid_size_has_no_default(tmp_path: Path) -> None:
    result = call("archive", "train.py", "-a", tmp_path)
    assert result.exit_code == 2
    assert "--grid-size" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["verify"],
        ["replay", "--all"],
        ["show", "grid-size-8/pytorch/v1"],
        ["replay", "grid-size-8/pytorch/v1"],
    ],
)
def test_a_missing_archive_is_named_with_what_to_do(words: list[str], tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    result = call(*words, "-a", missing)
    assert result.exit_code == 2
    assert str(missing) in result.stderr
    assert "what to do:" in result.stderr
    as_json = call(*words, "-a", missing, "--json")
    assert json.loads(as_json.stdout)["error"] == "NotFound"


@pytest.mark.parametrize(
    "words",
    [
        ["replay"],
        ["replay", "--all", "grid-size-3/onnx/v1"],
        ["replay", "--all", "--allow", "crashed"],
        ["replay", "--all", "--allow", "nonsense"],
        ["replay", "pytorch"],
        ["replay", "grid-size-0/pytorch/v1"],
        ["replay", "grid-size-3/tensorflow/v1"],
        ["show", "../../etc/passwd"],
    ],
)
def test_a_request_that_means_nothing_is_refused(words: list[str], small: Archive) -> None:
    result = call(*words, "-a", small.root)
    assert result.exit_code == 2, result.output


def test_json_is_one_document_and_nothing_else(small: Archive) -> None:
    for words in (["ls"], ["verify"], ["doctor"]):
        result = call(*words, "-a", small.root, "--json")
        json.loads(result.stdout)


def test_ls_and_show_read_every_document(small: Archive) -> None:
    listed = json.loads(call("ls", "-a", small.root, "--json").stdout)
    assert {row["artifact"] for row in listed["artifacts"]} == {str(r) for r in small.refs()}
    for row in listed["artifacts"]:
        shown = json.loads(call("show", row["artifact"], "-a", small.root, "--json").stdout)
        assert shown["schema"] == 1
        assert call("show", row["artifact"], "-a", small.root).exit_code == 0
    for row in listed["environments"]:
        assert call("show", row["environment"], "-a", small.root).exit_code == 0


def test_a_flipped_bit_is_found_by_verify_with_exit_code_3(small: Archive) -> None:
    ref = next(small.refs())
    path = next((small.root / ref.folder).glob("model_*"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    result = call("verify", "-a", small.root)
    assert result.exit_code == 3
    assert path.name in result.stdout
    assert "DigestMismatch" in result.stdout
    told = json.loads(call("verify", "-a", small.root, "--json").stdout)
    assert [f["error"] for f in told["findings"]] == ["DigestMismatch"]
    assert told["findings"][0]["path"] == str(path)


def test_a_damaged_document_does_not_hide_the_others_from_ls(small: Archive) -> None:
    refs = list(small.refs())
    path = small.root / refs[0].metadata
    path.write_bytes(path.read_bytes()[:-5])
    result = call("ls", "-a", small.root, "--json")
    assert result.exit_code == 3
    told = json.loads(result.stdout)
    assert len(told["artifacts"]) == len(refs) - 1
    assert str(path) in told["findings"][0]["path"]


def test_a_model_file_without_inputs_is_asked_for_them(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"\x08\x09")
    result = call("archive", model, "-n", "8", "-a", tmp_path / "archive")
    assert result.exit_code == 2
    assert "--inputs" in result.stderr


def test_a_function_that_raises_is_told_with_its_own_traceback(tmp_path: Path) -> None:
    (tmp_path / "their_training.py").write_text("def made():\n    raise RuntimeError('their own bug')\n")
    words = [sys.executable, "-m", "timeproof", "archive", "their_training.py:made", "-n", "8"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert 'their_training.py", line 2' in done.stderr
    assert "their own bug" in done.stderr
    assert "cli/archive_cmd.py" not in done.stderr


def test_start_up_imports_no_framework_and_no_solver() -> None:
    code = (
        "import sys, timeproof, timeproof.cli.main\n"
        f"print([m for m in {[*FRAMEWORKS, 'conda_lock', 'rattler', 'docker']} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_bears_the_name_of_a_public_function() -> None:
    import timeproof

    for name in timeproof.__all__:
        assert getattr(importlib.util.find_spec(f"timeproof.{name}"), "origin", None) is None, name


def test_an_interruption_is_130(tmp_path: Path) -> None:
    (tmp_path / "slow_training.py").write_text(
        "import time\n\ndef made():\n    print('started', flush=True)\n    while True: time.sleep(0.05)\n"
    )
    # Where the tests run in the background, their shell has told them to ignore interruptions.
    words = ["env", "--default-signal=INT", sys.executable, "-m", "timeproof"]
    words += ["archive", "slow_training.py:made", "-n", "8"]
    child = subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "started\n"
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=HANG_SECONDS)
    assert child.returncode == 130
    assert "Traceback" not in told


def test_a_pipe_that_closes_early_is_no_error(small: Archive) -> None:
    words = f"{sys.executable} -m timeproof ls -a {small.root} --json | head -c 1"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert done.stdout == "{"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_asked_for_alone_is_the_same_command(name: str) -> None:
    words = [name, "--help"]
    alone, whole = (CliRunner().invoke(app, words) for app in (make_app(words), make_app()))
    assert alone.exit_code == 0
    assert alone.stdout == whole.stdout


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["no-such-command"], ["--json", "ls"]])
def test_where_no_command_comes_first_all_of_them_are_known(words: list[str]) -> None:
    alone, whole = (CliRunner().invoke(app, words) for app in (make_app(words), make_app()))
    assert (alone.exit_code, alone.output) == (whole.exit_code, whole.output)
