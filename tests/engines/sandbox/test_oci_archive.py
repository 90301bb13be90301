"""An OCI archive laid out as a folder: its blobs as they are named, and nothing beside them."""

from __future__ import annotations

import json
import tarfile

import pytest
from support.oci_archives import image, layer_of, packed

from timeproof.engines.sandbox.oci_archive import lay_out, manifests
from timeproof.errors import BadArchive, DigestMismatch, Malformed


def test_an_archive_is_laid_out_as_it_is_named(tmp_path):
    _, members = image({"a": b"1"})
    lay_out(packed(members), tmp_path / "layout")
    files = {p.relative_to(tmp_path / "layout").as_posix(): p for p in tmp_path.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in files.items()} == members
    assert manifests(tmp_path / "layout") == [json.loads(members["index.json"])["manifests"][0]["digest"]]


@pytest.mark.parametrize("name", ["../x", "blobs/x", "blobs/sha256/../../../x", "/x", "blobs/sha256/", "a/b"])
def test_a_member_that_belongs_to_no_archive_is_refused(tmp_path, name):
    with pytest.raises(Malformed):
        lay_out([layer_of({name: b"1"})], tmp_path / "layout")
    assert [p.name for p in tmp_path.iterdir()] == ["layout"]


def test_a_blob_with_another_name_is_refused(tmp_path):
    with pytest.raises(DigestMismatch):
        lay_out([layer_of({"blobs/sha256/" + "0" * 64: b"1"})], tmp_path / "layout")


def test_a_member_that_comes_twice_is_refused(tmp_path):
    link = tarfile.TarInfo("oci-layout")
    with pytest.raises(Malformed, match="twice"):
        lay_out([layer_of({"oci-layout": b"1", "again": link})], tmp_path / "layout")


@pytest.mark.parametrize("data", [b"no tar at all" * 100, b""])
def test_an_archive_that_is_none_is_named(tmp_path, data):
    with pytest.raises(Malformed):
        lay_out([data], tmp_path / "layout")


def test_an_archive_without_an_index_is_named(tmp_path):
    lay_out([bytes(5120)], tmp_path / "layout")
    with pytest.raises(BadArchive):
        manifests(tmp_path / "layout")


@pytest.mark.parametrize("index", [b"[]", b"{}", b'{"manifests": [5]}', b'{"manifests": [{"digest": "x"}]}'])
def test_an_index_that_is_none_is_named(tmp_path, index):
    lay_out([layer_of({"index.json": index})], tmp_path / "layout")
    with pytest.raises(Malformed):
        manifests(tmp_path / "layout")
