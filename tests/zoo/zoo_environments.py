"""The zoo's environments: captured from the interpreter that runs it, each less what the others need.

Captured once, into a folder with a lock, and captured again only when another set of packages is installed.
The command line does it, as a user would.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# What the models of each group import; what these need comes along.
ROOTS = {
    "torch": [
        *("torch", "torchvision", "timm", "segmentation-models-pytorch", "facenet-pytorch", "transformers"),
        *("pytorch-lightning", "onnx", "onnxruntime"),
        # What those that are installed without their dependencies import.
        *("requests", "pillow", "pyyaml", "safetensors", "huggingface-hub", "tqdm"),
    ],
    "trees": ["xgboost-cpu", "xgboost", "lightgbm", "scikit-learn", "pandas", "scipy"],
    "sklearn": [
        *("scikit-learn", "skops", "pandas", "scipy", "onnx", "onnxruntime"),
        *("xgboost-cpu", "xgboost", "lightgbm", "catboost"),
    ],
    "onnx": ["onnxruntime", "onnx", "numpy"],
    "tensorflow": ["tensorflow-cpu", "keras", "onnxruntime", "numpy"],
    "catboost": ["catboost", "onnxruntime", "onnx", "numpy"],
}


def _requirements(name: str) -> list[str]:
    """The installed distribution's requirements, extras aside."""
    needed = []
    for text in metadata.requires(name) or []:
        try:
            row = Requirement(text)
        except InvalidRequirement:
            continue
        if row.marker is None or row.marker.evaluate({"extra": ""}):
            needed.append(canonicalize_name(row.name))
    return needed


def members(group: str) -> set[str]:
    """The installed distributions of a group."""
    installed = {canonicalize_name(d.name) for d in metadata.distributions()}
    waiting = [canonicalize_name(name) for name in ROOTS[group]]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in installed and name not in seen:
            seen.add(name)
            waiting += _requirements(name)
    return seen


def prepared(group: str, archive: Path, folder: Path) -> str:
    """See that the group's environment is locked, built, and in the engine; give its lock's folder.

    Raises subprocess.CalledProcessError, with what the command wrote.
    """
    versions = {canonicalize_name(d.name): d.version for d in metadata.distributions()}
    kept = members(group)
    state = json.dumps({name: versions[name] for name in sorted(kept)}, indent=1) + "\n"
    lock = folder / f"zoo-{group}"
    mark = folder / f"zoo-{group}.json"
    if not (lock.is_dir() and mark.is_file() and mark.read_text() == state):
        left_out = [
            word for name in sorted(versions.keys() - kept - {"timeproof"}) for word in ("--without", name)
        ]
        _command("capture", str(lock), "--archive", str(archive), "--force", *left_out)
        mark.write_text(state)
    _command("build", str(lock), "--archive", str(archive))
    return str(lock)


def _command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "timeproof", *words], check=True, capture_output=True, text=True)
