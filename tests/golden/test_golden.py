"""References of an earlier version: they parse, verify and replay, for ever, in an environment of today.

`v1/` is never made anew (make.py says how it was made). The artifacts run in the image that the tests have
just built, whose CPU and frameworks are not those of the day. What each must then answer:

- XGBoost, LightGBM: the same bits, on every CPU and with every later version. Their files promise it, and so
  it was measured; should a version change that, it is this test's business to say so.
- PyTorch: the same bits on every CPU under the recorded profile, while torch is the recorded version (which
  docs/demo/requirements.txt pins); with another one, at most `rounding`.
- onnxruntime: no profile pins it. The same bits on the same CPU with the same version, else `rounding`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.archive_making import check_artifact, flip

from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict
from timeproof.errors import BadArchive
from timeproof.replaying.flow import expected_outputs, task_of
from timeproof.runs import image_provider
from timeproof.runs.container_run import run_probe
from timeproof.runs.probe_stream import Outcome, ProbeRun
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_environment
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata

V1 = Path(__file__).parent / "v1"
GOLDEN = Archive(V1)
REFS = list(GOLDEN.refs())
# Other folders of v1 are archives of their own: test_golden_more.py.
OWN = ("documents", "environments", "grid-size-6")
# A model's own JSON is no document: a file model_…, or one in a folder of that name.
DOCUMENTS = [
    path
    for path in sorted(V1.rglob("*.json"))
    if not any(part.startswith("model_") for part in path.relative_to(V1).parts)
]
OWN_FILES = [path for name in OWN for path in (V1 / name).rglob("*") if path.is_file()]
BYTES = 300_000  # of all of v1


def test_every_framework_is_there_and_all_is_small() -> None:
    assert {ref.framework for ref in REFS} == {"pytorch", "xgboost", "lightgbm", "onnx"}
    assert len([path for path in DOCUMENTS if path in OWN_FILES]) == len(REFS) + 2
    metadata = [check_artifact(GOLDEN, ref) for ref in REFS]
    formats = {file.format for one in metadata for file in one.files if file.role == "model"}
    assert formats == {"torch-state", "xgboost-json", "xgboost-ubj", "lightgbm-text", "onnx"}
    assert sum(path.stat().st_size for path in OWN_FILES) < BYTES


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_of_schema_1_parse_and_nothing_in_them_is_lost(path: Path) -> None:
    kind = EnvironmentRecord if path.name == "image.json" else Metadata
    data = path.read_bytes()
    document = kind.parse(data, path)
    kept = document.model_dump(mode="json", by_alias=True)
    assert _within(json.loads(data), kept)
    assert (
        kind.parse(document.to_bytes(), path).model_dump()
        == document.model_copy(
            update={"checksum": kind.parse(document.to_bytes(), path).checksum}
        ).model_dump()
    )


@pytest.mark.parametrize(
    "path", [p for p in DOCUMENTS if p.name.startswith("metadata_")], ids=lambda path: path.name
)
def test_what_sealing_measured_is_spelled_as_it_was_byte_for_byte(path: Path) -> None:
    """Fields, their order, and absent ones included: records with types read what was free JSON once."""
    old = json.loads(path.read_bytes())
    new = json.loads(Metadata.parse(path.read_bytes(), path).to_bytes())
    for key in ("training", "machine", "seal", "copies", "profile", "environment"):
        assert json.dumps(old[key]) == json.dumps(new[key])
    assert json.dumps(old.get("proofs", [])) == json.dumps(new["proofs"])
    for before, after in zip(old["witnesses"], new["witnesses"], strict=True):
        for key in ("facts", "options"):
            assert json.dumps(before[key]) == json.dumps(after[key])


def _within(old: Any, new: Any) -> bool:
    """Whether `new` says all that `old` says; it may say more."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and _within(old[key], new[key]) for key in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(_within, old, new))
    return type(old) is type(new) and old == new


@pytest.mark.parametrize("ref", REFS, ids=str)
def test_old_files_verify_and_old_references_read(ref: Ref) -> None:
    metadata = check_artifact(GOLDEN, ref)
    path = V1 / ref.folder / metadata.file("reference").path
    with path.open("rb") as stream:
        arrays = reference.read(stream, [*metadata.inputs, *metadata.outputs], path)
    assert list(arrays) == [spec.name for spec in [*metadata.inputs, *metadata.outputs]]


@pytest.mark.parametrize("ref", REFS, ids=str)
def test_an_old_artifact_that_was_altered_is_found(ref: Ref, tmp_path: Path) -> None:
    import shutil

    copy = Archive(tmp_path / "copy")
    shutil.copytree(V1, copy.root)
    flip(copy.root / ref.folder / check_artifact(copy, ref).model.file)
    with pytest.raises(BadArchive):
        check_artifact(copy, ref)


@pytest.fixture(scope="module")
def replayed(sealed: Any, real_engine: Any) -> ProbeRun:
    """All in one container of the image that was built for these tests, under the recorded profile."""
    metadata = {ref: check_artifact(GOLDEN, ref) for ref in REFS}
    (profile,) = {one.profile.model_dump_json(): one.profile for one in metadata.values()}.values()
    assert profile.name == "portable"
    image = image_provider.provide(
        real_engine, sealed.archive, read_environment(sealed.archive, sealed.environment)
    )
    tasks = [task_of(GOLDEN, ref, one) for ref, one in metadata.items()]
    return run_probe(real_engine, image.id, tasks, profile)


@pytest.mark.container
@pytest.mark.parametrize("ref", REFS, ids=str)
def test_old_references_are_answered_as_they_were(replayed: ProbeRun, ref: Ref) -> None:
    metadata = check_artifact(GOLDEN, ref)
    outcome = replayed.outcomes[str(ref)]
    assert outcome.failure is None, f"{outcome.reason}\n{outcome.log}"
    found = compare_outputs(expected_outputs(GOLDEN, ref, metadata), outcome.native)
    allowed = required(metadata, outcome, replayed.hello["machine"])
    assert found.verdict.allowed_by(allowed), f"{found.verdict}, allowed {allowed}: {found.summary()}"


def required(metadata: Metadata, outcome: Outcome, machine: dict[str, Any]) -> Verdict:
    """The worst verdict that is still right: see the head of this file."""
    name = metadata.framework.name
    if name in {"xgboost", "lightgbm"}:
        return Verdict.identical
    library = {"pytorch": "torch", "onnx": "onnxruntime"}[name]
    same_version = _release(outcome.versions[library]) == _release(str(metadata.framework.version))
    same_cpu = all(machine.get(key) == getattr(metadata.machine, key) for key in ("cpu", "flags"))
    same = same_version and (name == "pytorch" or same_cpu)
    return Verdict.identical if same else Verdict.rounding


def _release(version: str) -> str:
    """A version without its build's name: 2.13.0+cpu and 2.13.0 are one."""
    return version.partition("+")[0]
