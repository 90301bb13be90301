"""Run the probe as the container does, as a process of its own, and read its stream."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.testing import probe_folder
from timeproof_probe import wire

HANG_SECONDS = 600.0  # a guard against a hang, and no measure: many times what a slow machine needs


@dataclass
class Replay:
    """All that one run of the probe said."""

    exit_code: int
    stderr: str
    hello: dict[str, Any] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[tuple[str, str], dict[str, np.ndarray]] = field(default_factory=dict)
    headers: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False

    def status(self, name: str) -> str:
        return str(self.results[name]["status"])


def files_of(folder: Path) -> list[dict[str, Any]]:
    """List a folder as a job does."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            files.append(
                {
                    "path": path.relative_to(folder).as_posix(),
                    "size": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
            )
    return files


def write_inputs(folder: Path, inputs: Sequence[np.ndarray], name: str = "reference.npz") -> str:
    arrays: dict[str, Any] = {f"input_{k}": array for k, array in enumerate(inputs)}
    np.savez(folder / name, **arrays)
    return name


def artifact(
    folder: Path,
    framework: str,
    model: str,
    *,
    names: Sequence[str] = ("input",),
    name: str = "a",
    inputs: str = "reference.npz",
    **more: Any,
) -> dict[str, Any]:
    """Describe what lies in `folder` as an artifact of a job."""
    return {
        "id": name,
        "framework": framework,
        "directory": str(folder),
        "files": files_of(folder),
        "model": model,
        "inputs": {"file": inputs, "names": list(names)},
        "options": {},
        "copies": [],
        "timeout": HANG_SECONDS / 2,
        "output_bytes": 2**24,
        **more,
    }


def run_raw(
    job: Mapping[str, Any],
    folder: Path,
    *,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
    probe: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return subprocess.run(
        probe_folder.command(str(path), python=python, probe=probe),
        capture_output=True,
        env=probe_folder.environment(env),
        timeout=HANG_SECONDS,
        check=False,
    )


def read(stdout: bytes, replay: Replay) -> Replay:
    """Read the whole stream; every byte of it must be accounted for."""
    stream = io.BytesIO(stdout)
    while not replay.done:
        header = wire.read_frame(stream.read)
        payload = stream.read(header["payload"])
        assert len(payload) == header["payload"]
        replay.headers.append(header)
        kind = header["kind"]
        if kind == "hello":
            replay.hello = header
        elif kind == "output":
            dtype = header["dtype"]
            if isinstance(dtype, list):
                dtype = [tuple(item) for item in dtype]
            array = np.frombuffer(payload, np.dtype(dtype)).reshape(header["shape"])
            replay.outputs.setdefault((header["id"], header["runner"]), {})[header["name"]] = array
        elif kind == "result":
            replay.results[header["id"]] = header
        else:
            assert kind == "done"
            replay.done = True
    assert stream.read() == b""
    return replay


def run(artifacts: Sequence[dict[str, Any]], folder: Path, *, threads: int | None = 1, **more: Any) -> Replay:
    """Run a job of these artifacts; the job file is written into `folder`."""
    job = {"contract": 1, "threads": threads, "artifacts": list(artifacts)}
    ended = run_raw(job, folder, **more)
    replay = Replay(ended.returncode, ended.stderr.decode("utf-8", "replace"))
    return read(ended.stdout, replay)


def same(expected: np.ndarray, actual: np.ndarray) -> bool:
    """Bit for bit, dtype and shape included."""
    return (
        expected.dtype == actual.dtype
        and expected.shape == actual.shape
        and np.ascontiguousarray(expected).tobytes() == np.ascontiguousarray(actual).tobytes()
    )
