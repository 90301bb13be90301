"""Environments of several years, real: each is built, and replays what its own release made."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import tiny_models
from support.years import CHEAP, FRAMEWORK, LOCKFILES, NAMES, PROGRAMS, TRAINED, built, trained

import timeproof
from timeproof.base import strictjson
from timeproof.compare.verdict import Verdict
from timeproof.engines.docker import DockerEngine
from timeproof.frameworks.registry import frameworks_of
from timeproof.images.build_context import stage_context
from timeproof.runs import image_provider
from timeproof.runs.environment_provider import read_lock_folder
from timeproof.store.environment_contents import versions_of
from timeproof.store.layout import Archive
from timeproof.store.read import read_environment

pytestmark = [pytest.mark.container, pytest.mark.slow]
# The interpreters of those that have another than 3.11.
PYTHON = {
    "lightgbm-2.2.3": "3.6",
    "lightgbm-3.2.1": "3.8",
    "catboost-1.0.6": "3.9",
    "onnxruntime-1.12": "3.9",
    "tensorflow-2.16": "3.10",
    "catboost-1.2.3": "3.12",
    "lightgbm-4.3.0": "3.12",
    "onnxruntime-1.22": "3.12",
    "onnxruntime-1.28": "3.12",
    "xgboost-3.1.3": "3.12",
    "lightgbm-4.6.0": "3.13",
    "onnxruntime-1.23": "3.13",
    "onnxruntime-1.24": "3.13",
    "onnxruntime-1.26": "3.13",
    "onnxruntime-1.30": "3.13",
    "xgboost-3.4.1": "3.13",
}


@pytest.fixture(scope="module")
def years(real_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """One archive for all, so that they share packages and layers."""
    archive = Archive(tmp_path_factory.mktemp("years") / "archive")
    yield archive
    for name in archive.environment_names():
        image_provider.drop(real_engine, read_environment(archive, name))
    shutil.rmtree(archive.root)


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_replays_what_its_own_release_made(
    years: Archive, real_engine: DockerEngine, name: str, tmp_path: Path
) -> None:
    record = built(years, name, real_engine)
    framework = FRAMEWORK[name.partition("-")[0]]
    how = {"grid_size": 5, "root": years.root, "environment": record.folder}
    if framework in TRAINED:
        model, inputs, version = trained(record, framework, tmp_path / "made")
        assert version == frameworks_of(record)[framework]
        done = timeproof.archive(model, np.load(inputs), **how)
    elif framework == "onnx":
        done = timeproof.archive(*tiny_models.graph(tmp_path), **how)
    else:
        made = tiny_models.net()
        options = made["options"].model_copy(update={"onnx": False})
        done = timeproof.archive(made.pop("model"), made.pop("inputs"), options=options, **how)
    # Models of trees have a PMML copy, which each year's NumPy evaluates.
    assert {copy.distance.verdict for copy in done.metadata.copies} <= {"identical", "rounding"}
    assert done.metadata.framework.version == frameworks_of(record)[framework]
    assert done.metadata.framework.python == versions_of(record)["python"]
    assert done.metadata.framework.python.startswith(PYTHON.get(name, "3.11") + ".")
    result = timeproof.replay(str(done.ref), root=years.root)
    assert [one.verdict for one in result.replayed] == [Verdict.identical], result.replayed[0].reason


@pytest.mark.parametrize("framework", PROGRAMS)
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("torch-")])
def test_an_environment_with_torch_replays_programs_of_its_own_release(
    years: Archive, real_engine: DockerEngine, name: str, framework: str, tmp_path: Path
) -> None:
    record = built(years, name, real_engine)
    model, inputs, version = trained(record, framework, tmp_path / "made")
    assert frameworks_of(record)[framework].partition("+")[0] == version
    rows = None if framework == "torch_export" else np.load(inputs)  # a .pt2 holds them
    done = timeproof.archive(model, rows, grid_size=5, root=years.root, environment=record.folder)
    assert [witness.kind for witness in done.metadata.witnesses] == ["float64"]
    result = timeproof.replay(str(done.ref), root=years.root)
    assert [one.verdict for one in result.replayed] == [Verdict.identical], result.replayed[0].reason


def test_environments_share_the_layers_of_what_they_share(years: Archive, real_engine: DockerEngine) -> None:
    one, two = (built(years, name, real_engine) for name in ("lightgbm-4.0.0", "xgboost-2.1.4"))
    same = set(one.image.diff_ids) & set(two.image.diff_ids)
    assert same == set(one.image.diff_ids[:2]), "base and Python; each has the loaders of its own frameworks"
    blobs = [p for p in (years.images / "blobs/sha256").iterdir() if p.is_file()]
    records = [read_environment(years, name) for name in years.environment_names()]
    layers = {digest for record in records for digest in record.image.diff_ids}
    assert len(blobs) == len(layers) + 2 * len(records), (
        "a layer each, a manifest and a configuration an image"
    )


def test_stock_buildx_bakes_the_same_image_from_the_repositorys_root(
    years: Archive, real_engine: DockerEngine, tmp_path: Path
) -> None:
    name = CHEAP[1]
    record = built(years, name, real_engine)
    lock, _ = read_lock_folder(LOCKFILES / name)
    stage_context(years, lock, tmp_path / "contexts" / name)
    target, told = f"environment-{name.replace('.', '_')}", tmp_path / "told.json"
    command = ["docker", "buildx", "bake", target, "--metadata-file", str(told), "--set", f"{target}.tags="]
    command += ["--set", f"{target}.output=type=oci,dest={tmp_path / 'image.tar'},compression=zstd"]
    done = subprocess.run(
        command,
        cwd=LOCKFILES.parent,
        env=os.environ | {"CONTEXTS": str(tmp_path / "contexts")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    digests = strictjson.loads(told.read_bytes(), told)[target]
    assert digests["containerimage.config.digest"] == record.image.config
