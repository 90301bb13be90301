"""Archives of an earlier version of frameworks that the demo's environment does not hold.

Each is a folder of `v1`. They parse, verify and read for ever. The probe of this machine replays them where
their framework is installed: what they must then answer, BITS says. `make environments` replays models in
containers of their years.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.archive_making import check_artifact, flip

from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict
from timeproof.errors import BadArchive
from timeproof.frameworks.registry import module_of
from timeproof.replaying.flow import expected_outputs
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import EnvironmentRecord
from timeproof.testing import probing

V1 = Path(__file__).parent / "v1"
FOLDERS = sorted(folder for folder in V1.iterdir() if any(folder.glob("grid-size-*")))
REFS = [(folder.name, ref) for folder in FOLDERS for ref in Archive(folder).refs()]
BYTES = 200_000  # of each
# Framework → the worst verdict that is still right, with any version and on any CPU.
BITS = {"catboost": Verdict.identical}
# Those whose files only the release that wrote them is sure to read (docs/sklearn.md).
ONE_RELEASE = frozenset({"sklearn"})

each_artifact = pytest.mark.parametrize(("folder", "ref"), REFS, ids=lambda part: str(part))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_is_small_and_names_its_environment(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < BYTES
    names = set()
    for path in folder.glob("environments/*/image.json"):
        names.add(EnvironmentRecord.parse(path.read_bytes(), path).folder)
    archive = Archive(folder)
    assert {check_artifact(archive, ref).environment.name for ref in archive.refs()} == names


@each_artifact
def test_old_files_of_more_frameworks_verify_and_read(folder: str, ref: Ref) -> None:
    archive = Archive(V1 / folder)
    metadata = check_artifact(archive, ref)
    path = archive.root / ref.folder / metadata.file("reference").path
    with path.open("rb") as stream:
        arrays = reference.read(stream, [*metadata.inputs, *metadata.outputs], path)
    assert list(arrays) == [spec.name for spec in [*metadata.inputs, *metadata.outputs]]


@each_artifact
def test_an_old_file_of_more_frameworks_that_was_altered_is_named(
    folder: str, ref: Ref, tmp_path: Path
) -> None:
    copy = Archive(tmp_path / "copy")
    shutil.copytree(V1 / folder, copy.root)
    flip(copy.root / ref.folder / check_artifact(copy, ref).model.file)
    with pytest.raises(BadArchive):
        check_artifact(copy, ref)


@pytest.mark.framework
@each_artifact
def test_the_loader_of_today_answers_as_the_old_reference(folder: str, ref: Ref, tmp_path: Path) -> None:
    archive = Archive(V1 / folder)
    metadata = check_artifact(archive, ref)
    framework = metadata.framework.name
    if find_spec(module_of(framework)) is None:
        pytest.skip(f"{framework} is not installed")
    if (
        framework in ONE_RELEASE
        and version(metadata.framework.distributions[0]) != metadata.framework.version
    ):
        pytest.skip(f"the file is of {framework} {metadata.framework.version}")
    artifact = tmp_path / "artifact"
    shutil.copytree(archive.root / ref.folder, artifact)
    expected = expected_outputs(archive, ref, metadata)
    path = artifact / metadata.file("reference").path
    with path.open("rb") as stream:
        arrays = reference.read(stream, [*metadata.inputs, *metadata.outputs], path)
    probing.write_inputs(artifact, [arrays[spec.name] for spec in metadata.inputs])
    job = probing.artifact(
        artifact,
        framework,
        metadata.model.file,
        names=[spec.name for spec in metadata.inputs],
        name="old",
        options=dict(metadata.model.options),
    )
    outcome = probing.run([job], tmp_path)
    assert outcome.status("old") == "ok", outcome.results["old"]["reason"]
    difference = compare_outputs(expected, outcome.outputs["old", "native"])
    assert difference.verdict.allowed_by(BITS.get(framework, Verdict.rounding)), difference.summary()
