"""Unpacked images: taken in whole or not at all, and checked before they are used."""

from __future__ import annotations

import json
import os
import time

import pytest
from support.oci_archives import image, packed

from timeproof.engines.sandbox import roots as roots_module
from timeproof.engines.sandbox.roots import Roots
from timeproof.errors import BadArchive


@pytest.fixture
def roots(tmp_path, monkeypatch) -> Roots:
    monkeypatch.setattr(roots_module, "_SOUND", set())
    return Roots(tmp_path / "cache")


def names(roots: Roots) -> list[str]:
    return sorted(os.listdir(roots.folder))


def test_an_image_is_known_by_config_and_manifest_and_forgotten_when_dropped(roots):
    config, members = image({"a/b": b"1"})
    roots.add(packed(members))
    root = roots.locate(config)
    assert root is not None
    assert (root.image.config, root.image.platform) == (config, "linux/amd64")
    manifest = json.loads(members["index.json"])["manifests"][0]["digest"]
    assert roots.locate(manifest) == root
    assert roots.locate("sha256:" + "0" * 64) is None
    roots.add(packed(members))
    assert names(roots) == [config.removeprefix("sha256:")]
    roots.drop(manifest)
    roots.drop(manifest)
    assert roots.locate(config) is None
    assert names(roots) == []


def test_what_a_killed_process_left_is_removed_the_next_day(roots):
    for name, age in ((".unpacking-old", 2 * 86400), (".unpacking-of-now", 0)):
        folder = roots.folder / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age,) * 2)
    config, members = image({"a": b"1"})
    roots.add(packed(members))
    assert names(roots) == [".unpacking-of-now", config.removeprefix("sha256:")]


@pytest.mark.parametrize("how", ["content", "mode", "more", "less", "link"])
def test_a_root_that_changed_is_thrown_away(roots, how, monkeypatch):
    config, members = image({"a/b": b"1", "c": b"2"})
    roots.add(packed(members))
    assert roots.locate(config) is not None
    root = roots.folder / config.removeprefix("sha256:") / "root"
    if how == "content":
        (root / "a/b").write_bytes(b"3")
    elif how == "mode":
        (root / "a/b").chmod(0o777)
    elif how == "more":
        (root / "a/new").write_bytes(b"")
    elif how == "less":
        (root / "c").unlink()
    else:
        (root / "c").unlink()
        (root / "c").symlink_to("a/b")
    monkeypatch.setattr(roots_module, "_SOUND", set())  # as another process
    assert roots.locate(config) is None
    assert names(roots) == []
    roots.add(packed(members))
    assert roots.locate(config) is not None


def test_what_is_no_image_leaves_nothing_behind(roots):
    config, members = image({"a": b"1"})
    blob = next(n for n, d in members.items() if n.startswith("blobs") and d.startswith(b"a\0"))
    outside = {f"../{n}" if n == blob else n: d for n, d in members.items()}
    for wrong in (
        {**members, blob: members[blob].replace(b"a\0", b"b\0", 1)},
        {n: d for n, d in members.items() if n != blob},
        {n: d for n, d in members.items() if n != "index.json"},
        outside,
        image({"../a": b"1"})[1],
        image({"a": b"1"}, rootfs={"type": "layers", "diff_ids": ["sha256:" + "0" * 64]})[1],
        image({"a": b"1"}, rootfs={"type": "layers", "diff_ids": []})[1],
    ):
        with pytest.raises(BadArchive):
            roots.add(packed(wrong))
        assert names(roots) == []
        assert roots.locate(config) is None
    assert [p.name for p in roots.folder.parent.iterdir()] == ["cache"]
