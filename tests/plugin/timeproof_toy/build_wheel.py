"""Builds this package's wheel by itself (PEP 517), so that installing it needs no index."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """Write the wheel, and give its file name."""
    project = tomllib.loads((_HERE / "pyproject.toml").read_text())["project"]
    distribution = f"{project['name'].replace('-', '_')}-{project['version']}"
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    files = {
        path.relative_to(_HERE).as_posix(): path.read_text()
        for path in sorted((_HERE / "timeproof_toy").rglob("*.py"))
    }
    info = f"{distribution}.dist-info"
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = "\n".join(groups)
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    name = f"{distribution}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
