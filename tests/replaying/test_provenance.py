"""How both sides of a replay are named: what runs the model, and what is known of an imported answer."""

from __future__ import annotations

import pytest
from support.archive_making import Y, fill, metadata_of
from typer.testing import CliRunner

from timeproof.cli.main import make_app
from timeproof.replaying import provenance
from timeproof.runs.profiles import profile_named
from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import Framework, Origin

HELLO = {"python": "3.12.1", "machine": {"cpu": "another CPU"}}


def publish(archive: Archive, framework: str, *, imported: bool) -> Ref:
    more = {}
    if imported:
        named = Framework(name=framework, version=None, python="3.11.7")  # type: ignore[arg-type]
        origin = Origin(origin="imported", **{"from": "a zoo"})
        more = {"framework": named, "machine": {}, "seal": {}, "reference": origin}
    with writer.draft(archive, 5, framework) as draft:
        specs = reference.specs_of("output", Y, scores=dict.fromkeys(Y, True))
        draft.publish(metadata_of(draft, fill(draft, b"a model"), outputs=specs, **more))
        return draft.ref


def differences(archive: Archive, ref: Ref, **versions: str) -> list[str]:
    metadata = read_metadata(archive, ref)
    profile = profile_named("portable")
    here = provenance.present(metadata, HELLO, versions, profile, metadata.environment.image.config)
    return [str(d) for d in provenance.differences(provenance.recorded(metadata), here)]


@pytest.mark.parametrize(
    ("framework", "library", "name"),
    [
        ("onnx", "onnxruntime", "onnxruntime"),
        ("pytorch", "torch", "pytorch"),
        ("xgboost", "xgboost", "xgboost"),
    ],
)
def test_a_version_is_that_of_what_runs_the_model(small, framework, library, name):
    ref = publish(small, framework, imported=False)
    assert differences(small, ref, **{library: "1.32.0"}) == [
        f"the framework is {name} 1.32.0; the recorded one is {name} 1.0",
        "the Python is 3.12.1; the recorded one is 3.11.7",
        "the CPU is another CPU; the recorded one is a CPU",
    ]
    shown = CliRunner().invoke(make_app(["show"]), ["show", str(ref), "--archive", str(small.root)])
    assert f"{name} 1.0, Python 3.11.7" in shown.output
    assert ", class scores" in shown.output


def test_of_an_imported_artifact_nothing_is_named_that_nobody_recorded(small):
    ref = publish(small, "onnx", imported=True)
    assert differences(small, ref, onnxruntime="1.32.0") == [
        "the Python is 3.12.1; the recorded one is 3.11.7"
    ]
    shown = CliRunner().invoke(make_app(["show"]), ["show", str(ref), "--archive", str(small.root)])
    assert "onnx, Python 3.11.7" in shown.output
    assert "None" not in shown.output
    assert "imported from a zoo" in shown.output
    assert "not proved: imported, nothing was run" in shown.output
