"""The whole chain on a real engine: sealed once, replayed in every way, refused where bytes differ."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.archive_making import copy_archive, flip
from support.waiting import wait_until

from timeproof.base import atomic
from timeproof.compare.verdict import Verdict
from timeproof.errors import BuildFailed, EngineFailed
from timeproof.images import build, buildx, recipe
from timeproof.replaying.flow import Result, replay
from timeproof.runs import image_provider
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_environment, read_metadata
from timeproof.store.schema.v1 import EnvironmentRecord
from timeproof.store.verify import verify

pytestmark = pytest.mark.container


def everything(archive: Archive, engine: Any, **more: Any) -> Result:
    return replay(archive, list(archive.refs()), engine, **more)


def verdicts(result: Result) -> list[str]:
    return [str(r.verdict) for r in result.replayed]


@pytest.fixture(autouse=True)
def _nothing_is_left(started) -> None:
    """Every test of this file."""


@pytest.fixture
def read_only(tmp_path) -> Iterator[Callable[[Path], Path]]:
    """Give a view of a folder that nobody can write through; the folder itself where mounting is denied."""
    made: list[Path] = []

    def bind(folder: Path) -> Path:
        view = tmp_path / "view"
        view.mkdir()
        words = ["mount", "--bind", str(folder), str(view)]
        if subprocess.run(words, capture_output=True, check=False).returncode != 0:
            return folder
        made.append(view)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(view)], check=True)
        with pytest.raises(atomic.StorageFailed, match="Read-only"):
            atomic.write(view / "x", b"")
        return view

    yield bind
    for view in made:
        subprocess.run(["umount", "--lazy", str(view)], check=True)


def drop_when_free(engine: Any, record: EnvironmentRecord) -> None:
    """Drop an image, once no container of anybody else on this machine runs it."""

    def dropped() -> bool:
        try:
            image_provider.drop(engine, record)
        except EngineFailed as error:
            if "being used" not in error.message:
                raise
            return False
        return True

    wait_until(dropped)


def test_every_artifact_replays_identical_and_what_runs_code_does_so_alone(sealed, real_engine, started):
    result = everything(sealed.archive, real_engine)
    assert verdicts(result) == ["identical"] * 4, result.to_json()
    assert result.passes()
    assert result.environments == {sealed.environment: "engine"}
    assert all(r.diff.verdict is Verdict.identical for r in result.replayed)
    assert len(started) == 2, "the PyTorch artifact has a container of its own, the three others share one"


def test_a_fresh_archive_verifies_without_a_finding(sealed):
    report = verify(sealed.archive)
    assert report.ok, [f.message for f in report.findings]
    assert (report.artifacts, report.environments, report.leftovers) == (4, 1, [])


def test_every_artifact_lies_where_the_layout_says(sealed):
    folder = sealed.root / "grid-size-3"
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    assert names >= {
        "pytorch/model_pt_v1.pth",
        "pytorch/model_pt_v1.onnx",
        "pytorch/reference_pt_v1.npz",
        "pytorch/metadata_pt_v1.json",
        "pytorch/source_pt_v1/tiny_net.py",
        "pytorch/source_pt_v1/tiny_layers/__init__.py",
        "pytorch/source_pt_v1/tiny_layers/scaled.py",
        "xgboost/model_xgb_v1.json",
        "lightgbm/model_lgb_v1.txt",
        "onnx/model_onnx_v1.onnx",
    }
    there = {p.name for p in (sealed.archive.environments / sealed.environment).iterdir()}
    assert there == {"environment.yml", "conda-lock.yml", "recipe", "image.json", "REPLAY.md"}


@pytest.mark.alone  # it drops the image
def test_the_image_is_rebuilt_to_the_same_digests_at_another_path_that_is_read_only(
    sealed, real_engine, tmp_path, read_only
):
    """Not linked but copied: other inodes, other times, another place."""
    shutil.copytree(sealed.root, tmp_path / "another place" / "archive")
    moved = Archive(read_only(tmp_path / "another place" / "archive"))
    record = read_environment(moved, sealed.environment)
    drop_when_free(real_engine, record)
    assert image_provider.locate(real_engine, record.image) is None
    result = everything(moved, real_engine, image="rebuild")
    assert verdicts(result) == ["identical"] * 4
    assert result.environments == {sealed.environment: "rebuilt"}
    facts = real_engine.inspect(record.image.manifest)
    assert facts is not None
    assert list(facts.diff_ids) == record.image.diff_ids
    assert verify(moved).ok, "a rebuild leaves nothing behind"


@pytest.mark.slow
def test_every_step_run_again_gives_the_same_digests(sealed, real_engine):
    record = read_environment(sealed.archive, sealed.environment)
    provided = image_provider.provide(real_engine, sealed.archive, record, mode="rebuild", no_cache=True)
    assert provided.source == "rebuilt"
    assert image_provider.locate(real_engine, record.image) == provided.id


def test_a_changed_byte_in_a_wheel_is_refused_before_the_build(sealed, real_engine, copy_of):
    archive = copy_of(sealed)
    wheel = next(p for p in archive.packages.rglob("*.whl") if p.name.startswith("packaging"))
    flip(wheel)
    result = everything(archive, real_engine, image="rebuild")
    assert result.exit_code == 3
    assert set(verdicts(result)) == {"altered"}
    assert wheel.name in result.replayed[0].reason


def test_a_changed_byte_in_a_wheel_fails_the_build_itself(sealed, real_engine, tmp_path):
    """As if the host had not looked: the step that installs the wheel hashes it again."""
    record = read_environment(sealed.archive, sealed.environment)
    frozen = sealed.archive.environments / sealed.environment / "recipe"
    contexts = tmp_path / "contexts"
    recipe.stage(frozen, record.packages, PackageStore(sealed.archive.packages), contexts / record.name)
    wheel = next((contexts / record.name).rglob("packaging-*.whl"))
    flip(wheel)
    with pytest.raises(BuildFailed, match=f"{wheel.name} has SHA-256"):
        buildx.bake(
            contexts,
            record.name,
            output=f"type=oci,tar=false,dest={tmp_path / 'out'}",
            platform=record.image.platform,
        )
    assert not (tmp_path / "out" / "index.json").exists()


@pytest.mark.alone  # it drops the image
def test_a_tampered_blob_of_the_stored_image_never_reaches_the_engine(sealed, real_engine, copy_of, started):
    archive = copy_of(sealed)
    record = read_environment(archive, sealed.environment)
    shutil.rmtree(archive.packages)
    blobs = sorted((archive.images / "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    flip(blobs[-1])
    drop_when_free(real_engine, record)
    result = everything(archive, real_engine, image="stored")
    assert result.exit_code == 3
    assert blobs[-1].name in result.replayed[0].reason
    assert started == []
    assert image_provider.locate(real_engine, record.image) is None


@pytest.mark.alone  # it drops the image
def test_without_packages_the_stored_copy_is_loaded_and_said_so(sealed, real_engine, copy_of):
    archive = copy_of(sealed)
    shutil.rmtree(archive.packages)
    drop_when_free(real_engine, read_environment(archive, sealed.environment))
    result = everything(archive, real_engine)
    assert verdicts(result) == ["identical"] * 4
    assert result.environments == {sealed.environment: "stored"}
    assert "stored copy" in result.notes[0]
    assert "missing" in result.notes[0]


def test_one_flipped_bit_in_any_file_starts_no_container(sealed, real_engine, copy_of, started):
    archive = copy_of(sealed)
    for ref in archive.refs():
        folder = archive.root / ref.folder
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"):
            flip(path)
            result = replay(archive, [ref], real_engine)
            assert verdicts(result) == ["altered"], path
            assert result.exit_code == 3
            assert path.name in result.replayed[0].reason
            flip(path)
    assert started == []
    assert verify(archive).ok


def test_the_same_environment_is_not_built_again(sealed, real_engine, tmp_path, monkeypatch):
    import warnings

    from support import tiny_models

    import timeproof

    archive = Archive(copy_archive(sealed.root, tmp_path / "archive"))

    def built(*_: object, **__: object) -> None:
        raise AssertionError("the environment was built again")

    monkeypatch.setattr(build, "build_environment", built)
    monkeypatch.setattr(buildx, "bake", built)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = timeproof.archive(
            *tiny_models.leaves(), grid_size=3, root=archive.root, environment=sealed.environment
        )
    assert str(done.ref) == "grid-size-3/lightgbm/v2"
    assert done.metadata.training.verdict == "identical"
    assert timeproof.replay("grid-size-3/lightgbm", root=archive.root).passes()


@pytest.fixture
def without_us(tmp_path) -> dict[str, str]:
    """Variables for a shell that finds the tools which REPLAY.md names, and no others."""
    bin = tmp_path / "bin"
    bin.mkdir()
    for name in (
        "docker",
        "tar",
        "sha256sum",
        "sed",
        "awk",
        "grep",
        "mktemp",
        "mkdir",
        "cp",
        "dirname",
        "basename",
    ):
        found = shutil.which(name)
        assert found, name
        (bin / name).symlink_to(found)
    kept = {k: v for k, v in os.environ.items() if k in {"DOCKER_HOST", "HOME", "TMPDIR"}}
    return {**kept, "PATH": str(bin)}


def commands_of(text: str) -> str:
    """The commands of REPLAY.md, in order, of every step: what is indented or stands between fences."""
    commands, fenced = [], False
    for step in text.split("\n## ")[1:]:
        before = len(commands)
        for line in step.splitlines():
            if line.startswith("```"):
                fenced = not fenced
            elif fenced or line.startswith("    "):
                commands.append(line if fenced else line[4:])
        assert len(commands) > before or not step[0].isdigit(), f"a step without a command: {step}"
    return "\n".join(commands)


@pytest.mark.alone  # it drops the image
def test_the_instructions_work_with_docker_alone(sealed, real_engine, copy_of, without_us):
    """REPLAY.md to the letter, on a copy elsewhere, without the toolkit and without Python."""
    archive = copy_of(sealed, "another place")
    record = read_environment(archive, sealed.environment)
    script = commands_of((archive.environments / sealed.environment / "REPLAY.md").read_text())
    drop_when_free(real_engine, record)
    built = f"timeproof/{record.folder}:latest"  # the name that the frozen bake file gives

    def follow() -> tuple[list[str], str]:
        done = subprocess.run(
            ["/bin/sh", "-c", script], cwd=archive.root, env=without_us, capture_output=True, check=False
        )
        said = done.stdout.decode(errors="replace")
        return said.splitlines(), f"{said}\n{done.stderr.decode(errors='replace')}"

    assert subprocess.run(["/bin/sh", "-c", "command -v python3"], env=without_us, check=False).returncode
    lines, everything_said = follow()
    assert [line for line in lines if line.endswith(": identical")] == [
        f"grid-size-3/{folder}/metadata_{tag}_v1.json: identical"
        for folder, tag in (("lightgbm", "lgb"), ("onnx", "onnx"), ("pytorch", "pt"), ("xgboost", "xgb"))
    ], everything_said
    assert not re.search("ALTERED|DIFFERENT|ANOTHER|damaged", everything_said)
    assert "built again: the same image" in lines, everything_said

    flip(archive.root / "grid-size-3/xgboost/model_xgb_v1.json")
    recorded = archive.root / "grid-size-3/lightgbm/metadata_lgb_v1.json"
    spec = read_metadata(archive, archive.locate("grid-size-3/lightgbm")).outputs[-1]
    recorded.write_text(recorded.read_text().replace(spec.sha256, "0" * 64))
    lines, everything_said = follow()
    assert "grid-size-3/xgboost/metadata_xgb_v1.json: FILES ALTERED" in lines, everything_said
    assert "grid-size-3/lightgbm/metadata_lgb_v1.json: DIFFERENT" in lines, everything_said
    assert len([line for line in lines if line.endswith(": identical")]) == 2, everything_said
    real_engine.drop(built)
