"""Small helpers of the tests beside this file: commands, conda packages, channels."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from timeproof.environments.conda import package_format
from timeproof.environments.conda.package_format import Entry


def run(*words: str | Path) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pip(python: Path, *words: str | Path) -> str:
    return run(sys.executable, "-I", "-m", "pip", "--python", python, *words)


def small_package(
    folder: Path,
    name: str,
    version: str,
    *,
    subdir: str = "noarch",
    depends: Sequence[str] = (),
    files: Sequence[Entry] = (),
    more: Mapping[str, object] | None = None,
) -> Path:
    """Write a tiny conda package into the channel `folder`."""
    index: dict[str, object] = {
        "build": "0",
        "build_number": 0,
        "depends": list(depends),
        "name": name,
        "subdir": subdir,
        "version": version,
        **(more or {}),
    }
    if subdir == "noarch":
        index["noarch"] = "python"
    path = folder / subdir / f"{name}-{version}-0.conda"
    path.parent.mkdir(parents=True, exist_ok=True)
    package_format.write(path, index, list(files), {})
    return path


def write_repodata(channel: Path) -> None:
    for folder in channel.iterdir():
        rows = {}
        for path in sorted(folder.glob("*.conda")):
            data = path.read_bytes()
            index = package_format.read_info(path, "info/index.json")["info/index.json"]
            rows[path.name] = index | {
                "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
                "sha256": hashlib.sha256(data).hexdigest(),
                "size": len(data),
            }
        text = {
            "info": {"subdir": folder.name},
            "packages": {},
            "packages.conda": rows,
            "repodata_version": 1,
        }
        (folder / "repodata.json").write_text(json.dumps(text))
