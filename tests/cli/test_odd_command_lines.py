"""Whatever is typed: a clear error with its exit code, JSON where JSON was asked for, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import tiny_models
from support.archive_making import copy_archive, flip
from support.paths import child_environment
from typer.testing import CliRunner

from timeproof.base import strictjson
from timeproof.cli.main import make_app
from timeproof.testing.archives import ENVIRONMENT


def call(*words: object, code: int | None = None):
    result = CliRunner().invoke(make_app(), [str(w) for w in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    if code is not None:
        assert result.exit_code == code, result.output
    return result


def told(result) -> dict:
    """The one JSON document on stdout."""
    return strictjson.loads(result.stdout.encode(), "stdout")


@pytest.fixture
def graph(tmp_path) -> Path:
    path, inputs = tiny_models.graph(tmp_path)
    np.save(tmp_path / "x.npy", inputs["x"])
    return path


def broken_inputs(folder: Path) -> dict[str, Path]:
    whole = folder / "whole.npz"
    np.savez(whole, x=tiny_models.ROWS)
    npy = folder / "whole.npy"
    np.save(npy, tiny_models.ROWS)
    made = {
        "empty.npy": b"",
        "empty.npz": b"",
        "text.npy": b"1,2,3\n",
        "cut.npy": npy.read_bytes()[:-5],
        "head.npy": npy.read_bytes()[:20],
        "cut.npz": whole.read_bytes()[:-30],
        "half.npz": whole.read_bytes()[: len(whole.read_bytes()) // 2],
        "zeros.npz": bytes(1000),
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    np.save(folder / "objects.npy", np.array([None, {}]), allow_pickle=True)
    damaged = bytearray(whole.read_bytes())
    damaged[60] ^= 0xFF
    (folder / "damaged.npz").write_bytes(damaged)
    (folder / "folder.npy").mkdir()
    names = [*made, "objects.npy", "damaged.npz", "folder.npy", "nowhere.npy"]
    return {name: folder / name for name in names}


def test_inputs_that_can_not_be_read_are_named(tmp_path, graph, small, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")  # nothing may get that far
    for name, path in broken_inputs(tmp_path).items():
        result = call("archive", graph, "--inputs", path, "-n", 8, "-a", small.root, "--env", ENVIRONMENT)
        assert result.exit_code in {2, 5}, (name, result.output)
        assert name in result.stderr or "input" in result.stderr, (name, result.stderr)
        assert "traceback" not in result.stderr.lower()


@pytest.mark.parametrize(
    "target",
    [
        "nowhere.py",
        "nowhere.py:f",
        "no_such_module:f",
        "os.nothing:f",
        "json:no_such_function",
        "json:__name__",
        "json:decoder",
        ".json:f",
        "..:f",
        ":f",
        "json:",
        "not a name.py",
        "model.unknown",
        ".",
        "",
    ],
)
def test_a_target_that_is_none_is_told_with_what_to_do(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not a name.py").write_text("")
    result = call("archive", target, "-n", 8, "-a", tmp_path / "archive")
    assert result.exit_code in {2, 5}, result.output
    assert "error" in result.stderr
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize(
    "body",
    [
        "return None",
        "return 5",
        "return 1, 2, 3",
        "return {'model': 1}",
        "return object(), [1.0]",
        "return {}",
    ],
)
def test_a_function_that_returns_no_model_is_told_what_to_return(tmp_path, body):
    path = tmp_path / "odd_training.py"
    path.write_text(f"def model_and_inputs():\n    {body}\n")
    result = call("archive", path, "-n", 8, "-a", tmp_path / "archive")
    assert result.exit_code in {2, 5}, result.output
    assert "error" in result.stderr


def test_a_file_that_is_no_python_is_told_as_the_users_own(tmp_path):
    (tmp_path / "broken_training.py").write_text("def f(:\n")
    words = [sys.executable, "-m", "timeproof", "archive", "broken_training.py", "-n", "8"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "broken_training.py" in done.stderr
    assert "SyntaxError" in done.stderr


@pytest.mark.parametrize(
    "threshold",
    ["x", "rounding", "rounding=", "rounding=many", "=1", "charity=1", "rounding=-1", "drift=nan"],
)
def test_a_threshold_that_is_none_is_a_bad_request(tmp_path, graph, small, threshold):
    words = ["archive", graph, "--inputs", tmp_path / "x.npy", "-n", 8, "-a", small.root]
    call(*words, "--threshold", threshold, "--json", code=2)


def test_a_witness_that_is_none_is_a_bad_request(tmp_path, graph, small):
    words = ["archive", graph, "--inputs", tmp_path / "x.npy", "-n", 8, "-a", small.root]
    assert "float64" in call(*words, "--witness", "guess", code=2).output


@pytest.mark.parametrize("tag", ["x", "=x", ""])
def test_a_tag_that_is_none_is_a_bad_request(tmp_path, graph, small, tag):
    words = ["archive", graph, "--inputs", tmp_path / "x.npy", "-n", 8, "-a", small.root, "--tag", tag]
    assert "KEY=VALUE" in call(*words, code=2).stderr


@pytest.mark.parametrize(
    "more",
    [
        ["--profile", "fast"],
        ["--graph-optimization", "most"],
        ["--env", "nowhere"],
        ["--env", ENVIRONMENT, "--python", sys.executable],
        ["--format", "pickle", "--env", ENVIRONMENT],
    ],
)
def test_an_option_with_a_value_that_nobody_knows_is_a_bad_request(tmp_path, graph, small, more):
    words = ["archive", graph, "--inputs", tmp_path / "x.npy", "-n", 8, "-a", small.root, "--json", *more]
    result = call(*words, code=2)
    assert told(result)["advice"] or told(result)["message"]


@pytest.mark.parametrize("words", [["ls"], ["verify"], ["replay", "--all"], ["show", "x"]])
def test_an_archive_that_is_a_file_is_told(tmp_path, words):
    (tmp_path / "file").write_bytes(b"")
    result = call(*words, "-a", tmp_path / "file", "--json", code=2)
    assert str(tmp_path / "file") in told(result)["message"]


def test_archiving_into_a_file_is_told(tmp_path, graph):
    (tmp_path / "file").write_bytes(b"")
    words = ["archive", graph, "--inputs", tmp_path / "x.npy", "-n", 8, "-a", tmp_path / "file"]
    result = call(*words)
    assert result.exit_code in {2, 7}
    assert str(tmp_path / "file") in result.stderr


def test_a_wrong_build_target_is_told(tmp_path):
    for words in (["build", "nowhere"], ["build", tmp_path], ["build", tmp_path, "--stage", tmp_path / "s"]):
        result = call(*words, "-a", tmp_path / "archive", "--json")
        assert result.exit_code in {2, 4}, result.output
        assert told(result)["message"]


def test_a_wrong_lock_or_capture_is_told(tmp_path):
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked/environment.yml").write_text("- just\n- a list\n")
    (tmp_path / "file").write_bytes(b"")
    for words in (
        ["lock", tmp_path / "nowhere"],
        ["lock", tmp_path / "asked"],
        ["capture", tmp_path / "new", "--python", tmp_path / "no-python"],
        ["capture", tmp_path / "new", "--python", tmp_path / "file"],
    ):
        result = call(*words, "-a", tmp_path / "archive", "--json")
        assert result.exit_code in {2, 4, 6}, (words, result.output)
        assert told(result)["message"]


def test_every_kind_of_finding_has_exit_code_3_and_is_json(small):
    (small.root / "extra").write_bytes(b"")
    flip(small.environments / ENVIRONMENT / "environment.yml")
    (small.images / "index.json").unlink()
    result = call("verify", "-a", small.root, "--json", code=3)
    kinds = {f["error"] for f in told(result)["findings"]}
    assert kinds == {"Unlisted", "DigestMismatch", "Missing"}
    text = call("verify", "-a", small.root, code=3).stdout
    for kind in kinds:
        assert kind in text


def test_names_that_are_not_utf8_are_told_in_text_and_json(small):
    name = os.fsencode(small.root) + b"/\xff\xfe[bold]"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    for more in ([], ["--json"]):
        words = [sys.executable, "-m", "timeproof", "verify", "-a", str(small.root), *more]
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode == 3, done.stderr
        assert b"Traceback" not in done.stderr
        assert b"[bold]" in done.stdout, "a name is no markup"


def test_a_tag_that_is_not_utf8_is_refused_or_kept_but_never_a_traceback(tmp_path, graph, small):
    words: list[object] = [
        sys.executable,
        "-m",
        "timeproof",
        "archive",
        graph,
        "--inputs",
        tmp_path / "x.npy",
    ]
    words += ["-n", "8", "-a", small.root, "--env", "nowhere", "--tag", b"k=\xff", "--json"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 2, done.stderr
    assert b"Traceback" not in done.stderr
    strictjson.loads(done.stdout, "stdout")


def test_without_an_engine_replay_says_how_to_get_one(small, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    result = call("replay", "--all", "-a", small.root, "--json", code=6)
    assert told(result)["error"] == "EngineMissing"
    assert "make engine" in told(result)["advice"]
    assert call("verify", "-a", small.root, code=0).exit_code == 0, "checking bytes needs no engine"
    doctor = call("doctor", "-a", small.root, "--json", code=6)
    assert not told(doctor)["ok"]


# --- with the real archive ------------------------------------------------------------------------


@pytest.mark.container
def test_replaying_everything_is_one_document_with_every_verdict(sealed):
    result = call("replay", "--all", "-a", sealed.root, "--json", code=0)
    document = told(result)
    assert document["passed"] is True
    assert document["counts"] == {"identical": 4}
    assert [r["artifact"] for r in document["replayed"]] == sorted(sealed.refs)
    text = call("replay", *sealed.refs[:2], "-a", sealed.root, code=0).stdout
    assert "passed" in text
    assert all(ref in text for ref in sealed.refs[:2])


@pytest.mark.container
def test_an_altered_artifact_is_exit_code_3_and_the_others_are_replayed(sealed, copy_of):
    archive = copy_of(sealed)
    flip(archive.root / "grid-size-3/onnx/model_onnx_v1.onnx")
    result = call("replay", "--all", "-a", archive.root, "--json", code=3)
    document = told(result)
    assert document["counts"] == {"altered": 1, "identical": 3}
    (bad,) = [r for r in document["replayed"] if r["verdict"] == "altered"]
    assert bad["error"]["error"] == "DigestMismatch"
    assert bad["error"]["path"].endswith("model_onnx_v1.onnx")


@pytest.mark.container
def test_another_answer_is_exit_code_1_unless_allowed(sealed, tmp_path):
    from support.grafting import graft, recorded

    from timeproof.store.layout import Archive

    archive = Archive(copy_archive(sealed.root, tmp_path / "archive"))
    (name, array), *_ = recorded(archive, "grid-size-3/onnx/v1").items()
    ref = graft(archive, "grid-size-3/onnx/v1", {}, outputs={name: np.nextafter(array, np.float32(9))})
    result = call("replay", ref, "-a", archive.root, code=1)
    assert "rounding" in result.stdout
    assert "failed" in result.stdout
    assert call("replay", ref, "-a", archive.root, "--allow", "rounding", code=0)
    as_json = told(call("replay", ref, "-a", archive.root, "--json", code=1))
    assert as_json["passed"] is False
    assert as_json["replayed"][0]["difference"]["verdict"] == "rounding"


@pytest.mark.container
def test_a_script_is_archived_listed_shown_and_replayed(sealed, tmp_path):
    """What a user does, by real commands."""
    root = copy_archive(sealed.root, tmp_path / "archive")
    script = tmp_path / "leaf_training.py"
    script.write_text(
        "from support.tiny_models import leaves\n\ndef model_and_inputs():\n    return leaves()\n"
    )

    def timeproof(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "timeproof", *words, "-a", str(root), "--json"]
        env = child_environment()
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)

    done = timeproof("archive", script.name, "-n", "12", "--env", sealed.environment, "--tag", "run=42")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["artifact"] == "grid-size-12/lightgbm/v1"
    assert "Sealing" in done.stderr
    listed = json.loads(timeproof("ls").stdout)["artifacts"]
    assert {r["artifact"]: r["tags"] for r in listed}["grid-size-12/lightgbm/v1"] == {"run": "42"}
    assert json.loads(timeproof("show", "grid-size-12/lightgbm").stdout)["tags"] == {"run": "42"}
    done = timeproof("replay", "grid-size-12/lightgbm")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"identical": 1}
