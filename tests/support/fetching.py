"""Fetch other people's models by SHA-256, from pip's configured index, and unpack what is a model's.

What is fetched lies below build/, and is never committed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from support.paths import REPOSITORY, TESTS

CORPUS = TESTS / "corpus"
# Whatever Python runs this: the wheels whose hashes stand in requirements.txt.
_ONE_FILE = "--no-deps --only-binary :all: --python-version 3.11 --implementation cp --abi cp311 --abi none"
_PLATFORMS = ("manylinux_2_27_x86_64", "manylinux_2_28_x86_64", "any")
# Of each wheel, the folder that is taken, and where it goes.
PARTS = {"onnx": ("onnx/backend/test/data/", "onnx"), "hyperopt": ("hyperopt/atpe_models/", "hyperopt")}


def fetched(
    root: Path = REPOSITORY / "build/corpus",
    *,
    requirements: Path = CORPUS / "requirements.txt",
    parts: Mapping[str, tuple[str, str]] = PARTS,
) -> Path:
    """The unpacked models; fetched and unpacked on the first call.

    Args:
        requirements: the wheels, each with its SHA-256.
        parts: of each wheel, the folder that is taken, and where it goes.
    """
    target = root / "data"
    if target.is_dir():
        return target
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=root) as name:
        scratch = Path(name)
        words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q"]
        words += [*_ONE_FILE.split(), *(w for p in _PLATFORMS for w in ("--platform", p))]
        words += ["--require-hashes", "-r", str(requirements), "-d", str(scratch / "wheels")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{requirements} can't be fetched:\n{done.stderr[-2000:]}")
        for wheel in sorted((scratch / "wheels").glob("*.whl")):
            folder, place = parts[wheel.name.partition("-")[0]]
            _unpack(wheel, folder, scratch / "data" / place)
        (scratch / "data").rename(target)
    return target


def _unpack(wheel: Path, folder: str, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if info.is_dir() or not info.filename.startswith(folder):
                continue
            path = PurePosixPath(info.filename[len(folder) :])
            assert ".." not in path.parts, info.filename
            to = target / path
            to.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, to.open("xb") as sink:
                shutil.copyfileobj(source, sink)
