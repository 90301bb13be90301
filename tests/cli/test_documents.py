"""What `show` says of an artifact: one row a fact, and only the facts that there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from timeproof.cli.render.documents import KEPT, artifact_rows, print_artifact, print_environment
from timeproof.store.layout import Archive
from timeproof.store.read import read_environment, read_metadata
from timeproof.store.schema.v1 import Copy, Metadata, Origin, Proof, Witness
from timeproof.testing.archives import ENVIRONMENT

DISTANCE = {"verdict": "rounding", "summary": "max 2 sULP"}


@pytest.fixture
def metadata(small: Archive) -> Metadata:
    return read_metadata(small, small.locate("grid-size-8/xgboost/v1"))


def rows(metadata: Metadata, **changed: Any) -> list[tuple[str, str]]:
    return list(artifact_rows(metadata.model_copy(update=changed)))


def test_an_artifact_is_named_with_its_framework_environment_and_arrays(metadata):
    facts = dict(rows(metadata))
    assert facts["artifact"] == "grid-size-8/xgboost/v1"
    assert facts["framework"] == "xgboost 1.0, Python 3.11.7"
    assert facts["environment"] == ENVIRONMENT
    assert facts["class"] == "–"
    assert facts["input"] == "x: <f4 [2, 3]"
    assert facts["output"] == "y: <f8 [2]"
    assert facts["sealed on"] == "a CPU"


def test_facts_that_there_are_none_of_have_no_row(metadata):
    names = {name for name, _ in rows(metadata)}
    assert not names & {"threshold", "kept on request", "note", "answers", "training process"}
    assert not [name for name in names if "copy" in name or "witness" in name or "tag" in name]


def test_an_imported_artifact_names_its_source_and_is_not_called_sealed(metadata):
    facts = dict(rows(metadata, reference=Origin(origin="imported", source="a [zoo]")))
    assert facts["answers"] == "imported from a \\[zoo]; never sealed here"
    assert "sealed on" not in facts


def test_copies_and_witnesses_come_with_their_distance(metadata):
    copy = Copy(name="onnx", framework="onnx", file="m.onnx", options={}, facts={}, distance=DISTANCE)
    near = Witness(kind="float64", file="w.npz", outputs=metadata.outputs, facts={"distance": DISTANCE})
    margin = Witness(kind="margin", file="r.npz", outputs=metadata.outputs)
    facts = dict(rows(metadata, copies=[copy], witnesses=[near, margin]))
    assert facts["onnx copy"] == "rounding: max 2 sULP"
    assert facts["float64 witness"] == "the answer's distance from it: rounding: max 2 sULP"
    assert facts["margin witness"] == "y"


def test_a_copy_that_does_not_run_says_why(metadata):
    failed = {"verdict": "refused", "reason": "no kernel"}
    copy = Copy(name="onnx", framework="onnx", file="m.onnx", options={}, facts={}, distance=failed)
    assert dict(rows(metadata, copies=[copy]))["onnx copy"] == "refused: no kernel"


def test_proofs_name_the_cpus_on_which_each_output_held(metadata):
    proof = Proof(
        cpu="Nehalem",
        profile="portable",
        emulator=None,
        verdict="identical",
        reason="",
        outputs={"y": {"verdict": "identical", "summary": ""}},
        seconds=1.0,
    )
    assert "; held under: " in dict(rows(metadata, proofs=[proof]))["output"]
    assert "held under" not in dict(rows(metadata))["output"]


def test_scores_thresholds_tags_and_reasons_are_listed(metadata):
    scored = [spec.model_copy(update={"scores": True}) for spec in metadata.outputs]
    found = rows(
        metadata,
        outputs=scored,
        thresholds={"rounding": 64.0},
        tags={"run": "[bold]"},
        kept=["random", "of a later version"],
        notes=["one", "two"],
    )
    facts = dict(found)
    assert facts["output"].endswith(", class scores")
    assert facts["threshold"] == "rounding: 64"
    assert facts["tag run"] == "\\[bold]"
    kept = [value for name, value in found if name == "kept on request"]
    assert kept == [f"[yellow]{KEPT['random']}[/yellow]", "[yellow]of a later version[/yellow]"]
    assert [value for name, value in found if name == "note"] == ["one", "two"]


def test_an_artifact_is_printed_with_its_files(metadata, capsys):
    print_artifact(metadata)
    text = capsys.readouterr().out
    for file in metadata.files:
        assert file.path in text
        assert file.sha256[:16] in text


def test_an_environment_is_printed_with_its_packages_and_what_was_left_out(small, capsys):
    record = read_environment(small, ENVIRONMENT)
    print_environment(record)
    text = capsys.readouterr().out
    assert record.image.manifest in text
    assert "left out: pip: an installer" in text
    for package in record.packages:
        assert package.sha256[:16] in text


def test_names_of_refs_are_those_of_the_archive(small):
    for ref in small.refs():
        assert dict(artifact_rows(read_metadata(small, ref)))["artifact"] == str(replace(ref, prefix=""))
