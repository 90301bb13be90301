"""The command itself, in real containers: the archived answer is the user's own, or nothing is archived."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import tiny_models
from support.archive_making import copy_archive
from support.paths import child_environment

pytestmark = pytest.mark.container

SCRIPT = """
import numpy as np
import torch
from named_net import Difference, Loose

RNG = np.random.default_rng(1)
ROWS = {name: RNG.normal(size=(5, 4)).astype(np.float32) for name in ("minus", "plus")}


def by_name():
    model = Difference().eval()
    with torch.no_grad():
        own = model(**{name: torch.from_numpy(rows) for name, rows in ROWS.items()})
    np.save("own.npy", own.numpy())
    return {"model": model, "inputs": ROWS, "onnx": False}


def loose():
    model = Loose().eval()
    model.factor = torch.tensor([2.0, -1.0, 1.0, 1.0])
    return {"model": model, "inputs": ROWS["plus"], "onnx": False}
"""
NETS = """
import torch


class Difference(torch.nn.Module):
    def forward(self, plus, minus):
        return plus - 2 * minus


class Loose(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = torch.ones(4)

    def forward(self, x):
        return x * self.factor
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(sealed, tmp_path) -> Command:
    """Run `timeproof archive` in a folder with a user's files, into a copy of a real archive."""
    root = copy_archive(sealed.root, tmp_path / "archive")
    (tmp_path / "training.py").write_text(SCRIPT)
    (tmp_path / "named_net.py").write_text(NETS)
    tiny_models.graph(tmp_path)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "timeproof", "archive", *words, "-n", "5", "--env", sealed.environment]
        argv += ["-a", str(root), "--json"]
        env = child_environment()
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)

    return run


def test_inputs_by_name_are_archived_with_the_answer_of_the_users_own_call(command, tmp_path):
    done = command("training.py:by_name")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["own"] == "identical"
    folder = Path(told["path"]).parent
    with np.load(folder / "reference_pt_v1.npz", allow_pickle=False) as reference:
        assert reference["output_0"].tobytes() == np.load(tmp_path / "own.npy").tobytes()


def test_another_answer_is_refused_and_nothing_is_published(command, tmp_path):
    done = command("training.py:loose")
    assert done.returncode == 5, done.stderr
    error = json.loads(done.stdout)
    assert error["error"] == "SealFailed"
    assert "the attribute factor is a tensor, and neither a parameter nor a buffer" in error["message"]
    assert not list((tmp_path / "archive").glob("grid-size-5/pytorch/metadata*"))
    kept = json.loads(command("training.py:loose", "--keep-different").stdout)
    assert kept["own"] == "broken"
    assert kept["metadata"]["kept"] == ["different"]


def test_a_model_file_is_held_against_the_expected_answer(command, tmp_path):
    np.save(tmp_path / "x.npy", tiny_models.ROWS)
    for name, answer in (("right", tiny_models.ROWS * 2), ("wrong", tiny_models.ROWS * 3)):
        np.save(tmp_path / f"{name}.npy", answer)
    model = next(tmp_path.glob("*.onnx")).name
    done = command(model, "--inputs", "x.npy", "--expected", "wrong.npy")
    assert done.returncode == 5, done.stderr
    assert "otherwise than the expected answer: broken" in json.loads(done.stdout)["message"]
    done = command(model, "--inputs", "x.npy", "--expected", "right.npy")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["own"] == "identical"
