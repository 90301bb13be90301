"""An artifact as a ModelPack: as the specification says, the same bytes each time, nothing hostile read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.laws import examples

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, Limit, NotAModelPack, UnsafePath
from timeproof.store import oci_layout
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_environment, read_metadata
from timeproof.store.registry import modelpack
from timeproof.store.registry.modelpack import Layer

SCHEMA = Path(__file__).parent / "modelpack" / "config-schema.json"
XGB = Ref.parse("grid-size-8/xgboost/v1")


def layers_of(archive: Archive, ref: Ref) -> list[Layer]:
    metadata = read_metadata(archive, ref)
    record = read_environment(archive, metadata.environment.name)
    files = modelpack.closure(ref, metadata, record, oci_layout.claims(archive.images, record.image))
    return [
        Layer(c.path, f"sha256:{c.sha256}", (archive.root / c.path).stat().st_size, kind)
        for c, kind in files.values()
    ]


def packed(archive: Archive, ref: Ref = XGB) -> tuple[dict[str, Any], dict[str, Any]]:
    manifest, config = modelpack.write(ref, read_metadata(archive, ref), layers_of(archive, ref))
    return json.loads(manifest), json.loads(config)


@pytest.mark.parametrize("ref", [XGB, Ref.parse("grid-size-12/pytorch/v1")])
def test_the_config_is_what_the_specifications_schema_asks_for(small, ref):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    _, config = packed(small, ref)
    checker.validate(config)
    assert not checker.is_valid({**config, "modelfs": {"type": "layers", "diffIds": []}})


def test_the_manifest_is_what_the_specification_says_of_it(small):
    manifest, config = packed(small)
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert manifest["config"]["digest"] == str(
        Digest.of(modelpack.write(XGB, read_metadata(small, XGB), layers_of(small, XGB))[1])
    )
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]
    kinds = {}
    for layer in manifest["layers"]:
        annotations = layer["annotations"]
        path = annotations["org.cncf.model.filepath"]
        assert annotations["org.opencontainers.image.title"] == path  # `oras pull` writes it there
        facts = json.loads(annotations["org.cncf.model.file.metadata+json"])
        assert facts["size"] == layer["size"] == (small.root / path).stat().st_size
        assert set(facts) == {"name", "mode", "uid", "gid", "size", "mtime", "typeflag"}
        kinds[path] = layer["mediaType"]
    assert kinds["grid-size-8/xgboost/model_xgb_v1.json"] == "application/vnd.cncf.model.weight.v1.raw"
    assert kinds["grid-size-8/xgboost/source_xgb_v1/net.py"] == "application/vnd.cncf.model.code.v1.raw"
    assert kinds["grid-size-8/xgboost/reference_xgb_v1.npz"] == "application/vnd.cncf.model.dataset.v1.raw"


def test_equal_layers_give_equal_bytes_in_whatever_order_they_come(small):
    metadata, layers = read_metadata(small, XGB), layers_of(small, XGB)
    assert modelpack.write(XGB, metadata, layers) == modelpack.write(XGB, metadata, layers[::-1])


def test_what_is_written_is_read(small):
    layers = layers_of(small, XGB)
    manifest, _ = modelpack.write(XGB, read_metadata(small, XGB), layers)
    result = modelpack.read(manifest, "here")
    assert result.layers == {layer.path: layer for layer in layers}
    assert result.digest == str(Digest.of(manifest))


def edited(small: Archive, edit: Any) -> bytes:
    manifest, _ = packed(small)
    return json.dumps(edit(manifest) or manifest).encode()


OTHERS: dict[str, Any] = {
    "an image": lambda m: m.update(
        artifactType="", config={"mediaType": "application/vnd.oci.image.config.v1+json"}
    ),
    "an index": lambda m: m.update(mediaType="application/vnd.oci.image.index.v1+json"),
    "another artifact": lambda m: m.update(artifactType="application/vnd.cncf.helm.config.v1+json"),
    "no layers": lambda m: m.pop("layers"),
    "layers that are no list": lambda m: m.update(layers=5),
    "a layer that is no object": lambda m: m.update(layers=[5]),
    "a layer without a path": lambda m: m["layers"][0].pop("annotations"),
    "a tar": lambda m: m["layers"][0].update(mediaType="application/vnd.cncf.model.weight.v1.tar"),
    "a digest of another kind": lambda m: m["layers"][0].update(digest="md5:0"),
    "a size that is no number": lambda m: m["layers"][0].update(size="5"),
    "one path twice": lambda m: m["layers"].append(m["layers"][0]),
    "a list": lambda m: [m],
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_artifact_of_ours_is_named_with_what_to_do(small, name):
    with pytest.raises(NotAModelPack) as caught:
        modelpack.read(edited(small, OTHERS[name]), "registry.example.org/models:x")
    assert caught.value.exit_code == 5
    assert "registry.example.org/models:x" in caught.value.message
    assert caught.value.advice


@pytest.mark.parametrize("data", [b"", b"{", b"<html>", b'{"a": 1, "a": 2}', b"null"])
def test_a_manifest_that_is_no_json_object_is_named(data):
    with pytest.raises(NotAModelPack):
        modelpack.read(data, "here")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a\\b", "C:x", "a//b", "con", "a\0b"])
def test_a_path_that_leaves_the_archive_is_refused(small, path):
    def edit(manifest):
        manifest["layers"][0]["annotations"]["org.cncf.model.filepath"] = path

    with pytest.raises(UnsafePath):
        modelpack.read(edited(small, edit), "here")


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m["layers"][0].update(size=LIMITS.layer_bytes + 1),
        lambda m: m["layers"][0].update(size=-1),
        lambda m: m.update(layers=m["layers"][:1] * (LIMITS.pack_layers + 1)),
        lambda m: [layer.update(size=LIMITS.layer_bytes) for layer in m["layers"]] and None,
    ],
)
def test_more_than_a_registry_may_declare_is_refused(small, edit):
    with pytest.raises(Limit):
        modelpack.read(edited(small, edit), "here")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@examples(80)
@given(st.sampled_from(["layers", "config", "artifactType", "mediaType", "annotations"]), JSON)
def test_any_manifest_is_read_or_refused_by_name(key, value):
    layer = {"mediaType": "x.raw", "digest": f"sha256:{'0' * 64}", "size": 1}
    layer["annotations"] = {modelpack.PATH: "a"}
    manifest = {
        "mediaType": oci_layout.MANIFEST,
        "artifactType": modelpack.ARTIFACT,
        "config": {"mediaType": modelpack.CONFIG},
        "layers": [layer],
    }
    try:
        modelpack.read(json.dumps(manifest | {key: value}).encode(), "here")
        nested = {"layers": [layer | {"annotations": value}]}
        modelpack.read(json.dumps(manifest | nested).encode(), "here")
    except (NotAModelPack, BadArchive):
        pass
