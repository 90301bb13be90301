"""The probe without a toolkit on the host: an artifact by its metadata, its answers as files in a tar."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.waiting import HANG_SECONDS

from timeproof.testing import probe_folder, probing

SOURCE = """
import os, torch
class Net(torch.nn.Module):
    def forward(self, x):
        print("a model may print")
        return {"doubled": x * 2, "setting": torch.tensor([len(os.environ.get("A_SETTING", ""))])}
"""


@pytest.fixture
def metadata(tmp_path: Path) -> dict[str, Any]:
    """Metadata of a model that says in which environment it runs; a witness and a copy lie beside."""
    import torch

    folder = tmp_path / "artifact"
    (folder / "source").mkdir(parents=True)
    (folder / "source/net.py").write_text(SOURCE)
    torch.save({"model_state": {}}, folder / "model.pth")
    probing.write_inputs(folder, [np.arange(6, dtype=np.float32).reshape(2, 3)])
    (folder / "witness.npz").write_bytes(b"this is nobody's reference")
    roles = {"reference.npz": "reference", "witness.npz": "witness", "model.pth": "model"}
    files = [{**f, "role": roles.get(f["path"], "source"), "format": "x"} for f in probing.files_of(folder)]
    options = {"source": "source", "module": "net", "qualname": "Net", "init_args": {}}
    return {
        "schema": 1,
        "framework": {"name": "pytorch", "version": None, "python": ""},
        "model": {"file": "model.pth", "options": options},
        "files": files,
        "inputs": [{"name": "x", "member": "input_0"}],
        "outputs": [],
        "copies": [{"name": "onnx", "framework": "onnx", "file": "nowhere.onnx", "options": {}}],
        "profile": {"name": "mine", "threads": 1, "variables": {"A_SETTING": "12345"}},
        "witnesses": [{"kind": "float64", "file": "witness.npz", "outputs": []}],
    }


def ask(folder: Path, told: Any, **env: str) -> tuple[int, dict[str, bytes], str]:
    path = folder / "artifact" / "metadata.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told, indent=2))
    done = subprocess.run(
        probe_folder.command("--artifact", str(path)),
        capture_output=True,
        env=probe_folder.environment(env),
        timeout=HANG_SECONDS,
        check=False,
    )
    found = {}
    if done.stdout:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                found[member.name] = content.read()
    return done.returncode, found, done.stderr.decode("utf-8", "replace")


@pytest.mark.framework
def test_the_answers_are_plain_bytes_under_the_recorded_profile(tmp_path, metadata):
    code, found, said = ask(tmp_path, metadata)
    assert code == 0, said
    assert found == {
        "output_0": (np.arange(6, dtype=np.float32) * 2).tobytes(),
        "output_1": np.array([5]).tobytes(),
    }
    assert "output_0: doubled, <f4 [2, 3]" in said


@pytest.mark.framework
def test_a_changed_file_gives_no_answer_and_says_why(tmp_path, metadata):
    metadata["files"][0]["sha256"] = hashlib.sha256(b"other").hexdigest()
    code, found, said = ask(tmp_path, metadata)
    assert (code, found) == (1, {})
    assert "altered" in said


@pytest.mark.framework
def test_a_model_that_fails_gives_no_answer(tmp_path, metadata):
    metadata["model"]["options"]["qualname"] = "Nobody"
    code, found, said = ask(tmp_path, metadata)
    assert (code, found) == (1, {})
    assert "refused" in said


@pytest.mark.parametrize("told", ["", "[]", "{}", "null", '{"framework": 3}', "[" * 100000])
def test_what_is_no_metadata_is_named(tmp_path, told):
    (tmp_path / "artifact").mkdir()
    code, found, said = ask(tmp_path, told)
    assert (code, found) == (2, {})
    assert "can't be run" in said
    assert "Traceback" not in said


@pytest.mark.framework
def test_a_probe_whose_host_is_gone_ends_by_itself(tmp_path):
    """The host's own time limit is told in the job; nothing else ends this model."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/net.py").write_text(
        "import time, torch\nclass Net(torch.nn.Module):\n    def forward(self, x): time.sleep(3000)\n"
    )
    import torch

    torch.save({"model_state": {}}, tmp_path / "model.pth")
    probing.write_inputs(tmp_path, [np.zeros(1, np.float32)])
    options = {"source": "source", "module": "net", "qualname": "Net", "init_args": {}}
    artifact = probing.artifact(tmp_path, "pytorch", "model.pth", options=options, timeout=HANG_SECONDS)
    job = {"contract": 1, "threads": 1, "seconds": 3.0, "artifacts": [artifact]}
    assert probing.run_raw(job, tmp_path).returncode == 124
