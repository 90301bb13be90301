"""Model folders that real releases of MLflow wrote (`mlflow_models/`), and copies of them to damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from support.paths import TESTS

FOLDERS = TESTS / "mlflow_models" / "folders"
RELEASES = ("3.17.2", "3.18.0")


def folder(name: str, release: str = "3.18.0") -> Path:
    """A recorded folder; nobody changes it."""
    return FOLDERS / release / name


def answer(name: str, release: str = "3.18.0") -> Any:
    """What that MLflow answered to the folder's example."""
    return json.loads((FOLDERS / release / f"{name}.answer.json").read_text())


def copy(name: str, place: Path, release: str = "3.18.0") -> Path:
    """A copy of a recorded folder, to damage."""
    return Path(shutil.copytree(folder(name, release), place / name))


def edit(path: Path, change: dict[str, Any]) -> Path:
    """Set fields of a folder's MLmodel file: `{"flavors.xgboost.data": "../x"}`; None takes a field away."""
    value = yaml.safe_load((path / "MLmodel").read_text())
    for place, entry in change.items():
        *parents, last = place.split(".")
        inner = value
        for parent in parents:
            inner = inner[parent]
        if entry is None:
            del inner[last]
        else:
            inner[last] = entry
    (path / "MLmodel").write_text(yaml.safe_dump(value))
    return path
